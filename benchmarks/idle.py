"""What a worker costs that has nothing to do."""

from __future__ import annotations

import time

from benchmarks.counters import Watch
from benchmarks.machine import Bench
from benchmarks.payload import fill, written
from benchmarks.rounds import Figure, Once
from benchmarks.systems import System

FIGURES = (
    Figure("commands_per_s", "Redis commands/s", digits=1),
    Figure("requests_per_s", "requests to Redis/s", digits=1),
    Figure("cpu_ms_per_s", "ms CPU per second", digits=1),
    Figure("rss_mb", "MB resident"),
)
SETTLED = 3.0  # seconds after the first jobs


def idle(seconds: float) -> Once:
    """A measurement of `seconds` of idleness; a multiple of 10, the period of a heartbeat, is fair to both."""

    def once(bench: Bench, system: System) -> dict[str, float]:
        fill(bench.redis, written("Bench::Noop", []), 10)
        watch = Watch(bench.redis)
        with bench.worker(system) as worker:
            worker.wait(lambda: watch.remaining() == 0, 30, "the first jobs")
            time.sleep(SETTLED)
            cpu, (commands, requests) = worker.cpu(), watch.load()
            time.sleep(seconds)
            cpu_after, (commands_after, requests_after) = worker.cpu(), watch.load()
            return {
                "commands_per_s": (commands_after.total() - commands.total()) / seconds,
                "requests_per_s": (requests_after - requests) / seconds,
                "cpu_ms_per_s": (cpu_after - cpu) / seconds * 1000,
                "rss_mb": worker.rss(),
            }

    return once

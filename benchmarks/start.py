"""From the start of a worker to its first job."""

from __future__ import annotations

import time

from benchmarks.counters import Watch
from benchmarks.machine import Bench
from benchmarks.payload import fill, written
from benchmarks.rounds import Figure, Once
from benchmarks.systems import Setup, System

FIGURES = (
    Figure("start_ms", "ms from its start to the first job's"),
    Figure("cpu_ms", "ms CPU until then"),
    Figure("commands", "Redis commands until then"),
)
PATIENCE = 60.0  # seconds


def start() -> Once:
    """A measurement of a worker that finds one job."""

    def once(bench: Bench, system: System) -> dict[str, float]:
        fill(bench.redis, written("Bench::Mark", [0]), 1)
        watch = Watch(bench.redis)
        commands, _ = watch.load()
        began = time.time()
        with bench.worker(system, Setup()) as worker:
            worker.wait(lambda: bench.stamps.stat().st_size, PATIENCE, "the first job")
            cpu, (commands_after, _) = worker.cpu(), watch.load()
        return {
            "start_ms": (float(bench.stamps.read_text()) - began) * 1000,
            "cpu_ms": cpu * 1000,
            "commands": commands_after.total() - commands.total(),
        }

    return once

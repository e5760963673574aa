"""What workers cost that have nothing to do."""

from __future__ import annotations

import time

from benchmarks.counters import Watch
from benchmarks.machine import Bench
from benchmarks.payload import fill, written
from benchmarks.processes import cpu_seconds
from benchmarks.rounds import Figure, Once
from benchmarks.systems import Setup, System, names

FIGURES = (
    Figure("commands_per_s", "Redis commands/s", digits=1),
    Figure("requests_per_s", "requests to Redis/s", digits=1),
    Figure("redis_cpu_ms_per_s", "ms CPU of Redis per second", digits=2),
    Figure("cpu_ms_per_s", "ms CPU per second", digits=2),
    Figure("connections", "connections"),
    Figure("rss_mb", "MB resident"),
)
SETTLED = 16.0  # seconds after the last first heartbeat: Sidekiq's poller begins 10 to 15 s after its process
PATIENCE = 180.0  # seconds


def idle(seconds: float, setup: Setup = Setup()) -> Once:  # noqa: B008 (frozen)
    """A measurement of `seconds` of idleness; a multiple of 10, the period of a heartbeat, is fair to both."""

    def once(bench: Bench, system: System) -> dict[str, float]:
        queue = names(setup.queues)[0]
        fill(bench.redis, written("Bench::Noop", [], queue), 10, queue=queue)
        watch = Watch(bench.redis, [queue])
        with bench.worker(system, setup) as worker:
            worker.wait(lambda: bench.redis.scard("processes") >= setup.fleet, PATIENCE, "the first heartbeats", 0.1)
            worker.wait(lambda: watch.remaining() == 0, PATIENCE, "the first jobs")
            time.sleep(min(SETTLED, seconds * 2))  # not when it is but shown that this works
            watch = Watch(bench.redis, [queue])
            cpu, redis_cpu, (commands, requests) = worker.cpu(), cpu_seconds(bench.redis_pid), watch.load()
            time.sleep(seconds)
            commands_after, requests_after = watch.load()
            return {
                "commands_per_s": (commands_after.total() - commands.total()) / seconds,
                "requests_per_s": (requests_after - requests) / seconds,
                "redis_cpu_ms_per_s": (cpu_seconds(bench.redis_pid) - redis_cpu) / seconds * 1000,
                "cpu_ms_per_s": (worker.cpu() - cpu) / seconds * 1000,
                "connections": int(bench.redis.info("clients")["connected_clients"]) - 1,
                "rss_mb": worker.rss(),
            }

    return once

"""Pushing, client side: `perform_async` in a loop, `perform_bulk` by the thousand."""

from __future__ import annotations

from benchmarks.counters import Watch
from benchmarks.machine import Bench
from benchmarks.processes import cpu_seconds
from benchmarks.rounds import Figure, Once
from benchmarks.systems import System

WARM = 200  # jobs that the client has pushed before; they are in what Redis did, too
FIGURES = (
    Figure("jobs_per_s", "jobs/s", more_is_better=True),
    Figure("cpu_us", "µs CPU per job", digits=1),
    Figure("redis_cpu_us", "µs CPU of Redis per job", digits=1),
    Figure("commands", "Redis commands per job", digits=3),
)


def enqueue(kind: str, count: int) -> Once:
    """A measurement of `count` pushes, `kind` is `single` or `bulk`."""

    def once(bench: Bench, system: System) -> dict[str, float]:
        watch = Watch(bench.redis)
        redis_cpu, (commands, _) = cpu_seconds(bench.redis_pid), watch.load()
        took = bench.push(system, kind, count)
        commands_after, _ = watch.load()
        return {
            "jobs_per_s": count / took["seconds"],
            "cpu_us": took["cpu"] / count * 1e6,
            "redis_cpu_us": (cpu_seconds(bench.redis_pid) - redis_cpu) / (count + WARM) * 1e6,
            "commands": (commands_after.total() - commands.total()) / (count + WARM),
        }

    return once

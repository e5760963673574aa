"""A full queue worked off: jobs per second, CPU, memory, Redis commands.

The queue is full before the worker starts. When the first jobs are done (the worker is warm) the counters are read,
and again after some seconds in which the benchmark asks Redis for nothing; what was done in between counts. The jobs
that run at such a moment count for neither system: pykiq's in-flight lists tell how many they are; Sidekiq has as many
at the end as it had at the start.
"""

from __future__ import annotations

import time

from benchmarks.counters import Moment, Watch
from benchmarks.machine import Bench
from benchmarks.payload import fill, of_size, written
from benchmarks.processes import BenchmarkError
from benchmarks.rounds import Figure, Once
from benchmarks.systems import Setup, System

RSS = Figure("rss_mb", "MB resident at the end")
PATIENCE = 120.0  # seconds
WARM = 500  # jobs, or what comes to a fifth of a second
FLOOR_PER_S = 40_000  # jobs that floor.py does without doing them
MARGIN = 1.0  # seconds of jobs more than the time that is measured
REFILLS = 3  # how often a queue that ran empty is filled with twice as much


def full(
    job: str,
    per_s: float,
    seconds: float,
    *,
    args: list[object] | None = None,
    size: int = 200,
    setup: Setup = Setup(),  # noqa: B008 (frozen)
) -> Once:
    """A measurement of jobs of class `job`, of which nobody does more than `per_s` a second.

    Without `args` the payload is filled up to `size` bytes.
    """

    def once(bench: Bench, system: System) -> dict[str, float]:
        text = of_size(job, size) if args is None else written(job, args)
        count = int((FLOOR_PER_S if system.name == "floor" else per_s) * (seconds + MARGIN))
        for _ in range(REFILLS):
            bench.empty()
            fill(bench.redis, text, count)
            if costs := _worked_off(bench, system, count):
                return costs
            count *= 2
        raise BenchmarkError(f"{system.name} works {count} jobs off in less than {seconds} s")

    def _worked_off(bench: Bench, system: System, count: int) -> dict[str, float] | None:
        """None when the queue ran empty."""
        watch = Watch(bench.redis)
        with bench.worker(system, setup) as worker:
            done = count - min(WARM, int(per_s / 5))
            worker.wait(lambda: watch.remaining() <= done, PATIENCE, "the first jobs")
            start = Moment(bench, worker, watch)
            time.sleep(seconds)
            end = Moment(bench, worker, watch)
            worker.check()
            return end.since(start) | {"rss_mb": worker.rss()} if end.left > end.held else None

    return once

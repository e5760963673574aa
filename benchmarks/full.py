"""Full queues worked off: jobs per second, CPU, memory, Redis commands.

The queues are full before the worker starts. When the first jobs are done (the worker is warm) the counters are read,
and again after some seconds in which the benchmark asks Redis for nothing; what was done in between counts. The jobs
that run at such a moment count for neither system: pykiq's in-flight lists tell how many they are; Sidekiq has as many
at the end as it had at the start.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.counters import Moment, Watch
from benchmarks.machine import Bench
from benchmarks.payload import fill, of_size, written
from benchmarks.processes import BenchmarkError
from benchmarks.rounds import Figure, Once
from benchmarks.systems import Setup, System, names, weight

RSS = Figure("rss_mb", "MB resident at the end")
PATIENCE = 120.0  # seconds
WARM = 500  # jobs, or what comes to a fifth of a second
FLOOR_PER_S = 40_000  # jobs that floor.py does without doing them
MARGIN = 1.0  # seconds of jobs more than the time that is measured
REFILLS = 3  # how often queues that ran empty are filled with twice as much

Text = Callable[[str], str]  # a queue's name to a payload


def full(
    job: str,
    per_s: float,
    seconds: float,
    *,
    args: list[object] | None = None,
    size: int = 200,
    depth: int = 0,
    setup: Setup = Setup(),  # noqa: B008 (frozen)
    **more: object,
) -> Once:
    """A measurement of jobs of class `job`, of which nobody does more than `per_s` a second.

    Without `args` the payload is filled up to `size` bytes; `more` are other keys of it. At least `depth` jobs wait.
    Queues with weights hold as many jobs in proportion.
    """

    def text(queue: str) -> str:
        return of_size(job, size, queue) if args is None else written(job, args, queue, **more)

    return filled(text, per_s, seconds, setup, depth)


def filled(text: Text, per_s: float, seconds: float, setup: Setup, depth: int = 0) -> Once:
    """As `full`, with a payload of whatever kind."""

    def once(bench: Bench, system: System) -> dict[str, float]:
        count = max(int((FLOOR_PER_S if system.name == "floor" else per_s) * (seconds + MARGIN)), depth)
        for _ in range(REFILLS):
            bench.empty()
            _fill(bench, setup, text, count)
            if costs := _worked_off(bench, system, setup, min(WARM, int(per_s / 5)), seconds):
                return costs
            count *= 2
        raise BenchmarkError(f"{system.name} works {count} jobs off in less than {seconds} s")

    return once


def _fill(bench: Bench, setup: Setup, text: Text, count: int) -> None:
    whole = sum(map(weight, setup.queues))
    for queue in setup.queues:
        (name,) = names([queue])
        fill(bench.redis, text(name), max(count * weight(queue) // whole, 1), queue=name)


def _worked_off(bench: Bench, system: System, setup: Setup, warm: int, seconds: float) -> dict[str, float] | None:
    """None when the queues ran empty."""
    watch = Watch(bench.redis, names(setup.queues))
    count = watch.remaining()
    with bench.worker(system, setup) as worker:
        worker.wait(lambda: watch.remaining() <= count - warm, PATIENCE, "the first jobs")
        start = Moment(bench, worker, watch)
        time.sleep(seconds)
        end = Moment(bench, worker, watch)
        worker.check()
        return end.since(start) | {"rss_mb": worker.rss()} if end.left > end.held else None

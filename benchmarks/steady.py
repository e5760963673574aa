"""Jobs that arrive at a steady rate: from push to the handler's first line, and what each costs.

The producer does not wait for the worker: a slow one gets no fewer jobs, and its figures show how they waited. Redis'
CPU and commands are without the benchmark's own commands, but for the CPU of each push, which is the same for all.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence

from benchmarks.counters import COMMANDS, CPU, REDIS_CPU, Moment, Watch
from benchmarks.machine import Bench
from benchmarks.notes import DELAYS, Notes, delays
from benchmarks.payload import Producer, fill, written
from benchmarks.processes import Worker
from benchmarks.rounds import Figure, Once
from benchmarks.systems import Setup, System, names

FIGURES = (*DELAYS, CPU, REDIS_CPU, COMMANDS)
RATES = (1, 10, 50, 100, 200, 500, 1000, 2000)  # jobs/s
SWEPT_S = 0.005  # seconds that each job of the sweep sleeps: ten slots do 2,000 a second at the most
LEAST_JOBS = 5  # of which the delays are those of a rate
PATIENCE = 60.0  # seconds
WARM_RATE, WARM_SECONDS = 100, 0.5
SETTLED = 0.5  # seconds after the first jobs
ENDS = 0.1  # seconds after the last push: what runs then is done, and counts


def steady(
    rate: float,
    seconds: float,
    *,
    pause: float = 0.0,
    compute: float = 0.0,
    served: Sequence[str] = ("default",),
    busy: Sequence[str] = (),
    extras: Sequence[str] = (),
) -> Once:
    """A measurement of `rate` jobs a second that sleep for `pause` seconds and compute for `compute`.

    The queues `served` may have weights; jobs go at random to those of `busy`, all of them unless given.
    """
    setup = Setup(queues=served, extras=extras)

    def once(bench: Bench, system: System) -> dict[str, float]:
        with load(bench, system, setup, busy or names(served), pause, compute) as run:
            return run(rate, seconds)

    return once


def sweep(seconds: float) -> Once:
    """A measurement of one worker at one rate after the other."""

    def once(bench: Bench, system: System) -> dict[str, float]:
        with load(bench, system, Setup(), ["default"], SWEPT_S, 0.0) as run:
            taken = {rate: run(rate, max(seconds, seconds * LEAST_JOBS / rate / 2)) for rate in RATES}
        return {f"{key}@{rate}": value for rate, figures in taken.items() for key, value in figures.items()}

    return once


def sweep_figures() -> tuple[Figure, ...]:
    """Those of `FIGURES` for each rate."""
    return tuple(
        Figure(f"{figure.key}@{rate}", f"{rate:,}/s: {figure.unit}", digits=figure.digits)
        for rate in RATES
        for figure in FIGURES
    )


class Load:
    """A worker with a producer beside it; call it with a rate and for how long."""

    def __init__(self, bench: Bench, worker: Worker, watch: Watch, producer: Producer, notes: Notes) -> None:
        self._bench, self._worker, self._watch, self._producer = bench, worker, watch, producer
        self._notes = notes

    def __call__(self, rate: float, seconds: float) -> dict[str, float]:
        began = time.time()
        start = Moment(self._bench, self._worker, self._watch)
        count = self._producer.produce(rate, seconds)
        self._watch.count("lpush", count)
        took = time.time() - began
        time.sleep(ENDS)
        end = Moment(self._bench, self._worker, self._watch)
        self.drained()
        notes = [note for note in self._notes.read(self._producer.pushed) if note[0] >= began]
        return delays(notes) | {"pushed_per_s": count / took} | end.since(start, count)

    def drained(self) -> None:
        self._worker.wait(lambda: self._watch.remaining() == 0, PATIENCE, "the last jobs", pause=0.05)


@contextlib.contextmanager
def load(
    bench: Bench, system: System, setup: Setup, busy: Sequence[str], pause: float, compute: float
) -> Iterator[Load]:
    """A warm worker that has nothing to do yet."""
    bench.redis.sadd("queues", *names(setup.queues))
    with contextlib.closing(Producer(bench.port, pause, compute, busy)) as producer:
        watch = Watch(bench.redis, busy)
        for name in busy:
            fill(bench.redis, written("Bench::Noop", [], name), 1, queue=name)
        with bench.worker(system, setup) as worker:
            ready = Load(bench, worker, watch, producer, Notes(bench, worker, busy[0]))
            ready.drained()
            producer.produce(WARM_RATE, WARM_SECONDS)
            ready.drained()
            time.sleep(SETTLED)
            yield ready

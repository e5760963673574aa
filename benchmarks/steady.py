"""Jobs that arrive at a steady rate: from push to the handler's first line, and what each costs.

The producer does not wait for the worker: a slow one gets no fewer jobs, and its figures show how they waited. Redis'
CPU and commands are without the benchmark's own commands, but for the CPU of each push, which is the same for all.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator

from benchmarks.counters import COMMANDS, CPU, REDIS_CPU, Moment, Watch
from benchmarks.machine import Bench
from benchmarks.payload import Producer, fill, written
from benchmarks.processes import BenchmarkError, Worker
from benchmarks.rounds import Figure, Once
from benchmarks.systems import Setup, System

DELAYS = Figure("p50_ms", "ms from push to start, p50", digits=2), Figure("p99_ms", "ms, p99", digits=2)
FIGURES = (*DELAYS, CPU, REDIS_CPU, COMMANDS)
PATIENCE = 30.0  # seconds
WARM_RATE, WARM_SECONDS = 100, 1.0
FLUSHED = "0"  # begins the line of a flush
SETTLED = 0.5  # seconds after the first jobs
ENDS = 0.1  # seconds after the last push: what runs then is done, and counts


def steady(
    rate: float,
    seconds: float,
    *,
    pause: float = 0.0,
    compute: float = 0.0,
    queues: int = 1,
    setup: Setup | None = None,
) -> Once:
    """A measurement of `rate` jobs a second that sleep for `pause` seconds and compute for `compute`.

    With `queues` they go to so many queues at random.
    """

    def once(bench: Bench, system: System) -> dict[str, float]:
        with load(bench, system, pause, compute, queues, setup) as run:
            return run(rate, seconds)

    return once


class Load:
    """A worker with a producer beside it; call it with a rate and for how long."""

    def __init__(self, bench: Bench, worker: Worker, watch: Watch, producer: Producer, queue: str) -> None:
        self._bench, self._worker, self._watch, self._producer = bench, worker, watch, producer
        self._queue = queue
        self._flushes = 0

    def __call__(self, rate: float, seconds: float) -> dict[str, float]:
        began = time.time()
        start = Moment(self._bench, self._worker, self._watch)
        count = self._producer.produce(rate, seconds)
        self._watch.count("lpush", count)
        took = time.time() - began
        time.sleep(ENDS)
        end = Moment(self._bench, self._worker, self._watch)
        self.drained()
        late = [line for line in self.flushed() if line[0] >= began]
        cuts = statistics.quantiles([(started - pushed) * 1000 for pushed, started in late], n=100, method="inclusive")
        figures = {"p50_ms": cuts[49], "p99_ms": cuts[98], "pushed_per_s": count / took}
        return figures | end.since(start, count)

    def drained(self) -> None:
        self._worker.wait(lambda: self._watch.remaining() == 0, PATIENCE, "the last jobs", pause=0.05)

    def flushed(self) -> list[tuple[float, float]]:
        """When each job so far was pushed and started."""
        found: list[tuple[float, float]] = []
        deadline = time.monotonic() + PATIENCE
        while len(found) < self._producer.pushed:  # one that waits for the GIL or Ruby's lock has noted nothing yet
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{len(found)} of {self._producer.pushed} jobs have started")
            self._flush()
            found = [(float(pushed), float(started)) for pushed, started in self._lines() if pushed != FLUSHED]
        return found

    def _flush(self) -> None:
        self._flushes += 1
        fill(self._bench.redis, written("Bench::Flush", [self._flushes], self._queue), 1, queue=self._queue)
        last = [FLUSHED, str(self._flushes)]
        self._worker.wait(lambda: last in self._lines(), PATIENCE, "the jobs' notes", pause=0.05)

    def _lines(self) -> list[list[str]]:
        complete, _, _ = self._bench.stamps.read_text().rpartition("\n")
        return [line.split() for line in complete.splitlines()]


@contextlib.contextmanager
def load(
    bench: Bench, system: System, pause: float, compute: float, queues: int, setup: Setup | None
) -> Iterator[Load]:
    """A warm worker that has nothing to do yet."""
    names = [f"q{number}" for number in range(queues)] if queues > 1 else ["default"]
    setup = setup or Setup(queues=names)
    bench.redis.sadd("queues", *names)
    with contextlib.closing(Producer(bench.port, pause, compute, names)) as producer:
        watch = Watch(bench.redis, names)
        for name in names:
            fill(bench.redis, written("Bench::Noop", [], name), 1, queue=name)
        with bench.worker(system, setup) as worker:
            ready = Load(bench, worker, watch, producer, names[0])
            ready.drained()
            producer.produce(WARM_RATE, WARM_SECONDS)
            ready.drained()
            time.sleep(SETTLED)
            yield ready

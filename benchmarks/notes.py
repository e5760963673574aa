"""What handlers have noted: when each `Bench::Timed` job was pushed, or due, and when it started."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from benchmarks.machine import Bench
from benchmarks.payload import fill, written
from benchmarks.processes import BenchmarkError, Worker
from benchmarks.rounds import Figure

DELAYS = Figure("p50_ms", "ms from push to start, p50", digits=2), Figure("p99_ms", "ms, p99", digits=2)
FLUSHED = "0"  # begins the line of a flush
PATIENCE = 60.0  # seconds
Note = tuple[float, float]  # when it was pushed, when it started


class Notes:
    """The notes of a worker's jobs. They are in its memory until a job of the queue `queue` brings them to the file."""

    def __init__(self, bench: Bench, worker: Worker, queue: str) -> None:
        self._bench, self._worker, self._queue = bench, worker, queue
        self._flushes = 0

    def read(self, jobs: int) -> list[Note]:
        """The notes of all `jobs` so far. Raises BenchmarkError when some of them do not start."""
        found: list[Note] = []
        deadline = time.monotonic() + PATIENCE
        while len(found) < jobs:  # one that waits for the GIL or Ruby's lock has noted nothing yet
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{len(found)} of {jobs} jobs have started")
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


def delays(notes: Sequence[Note]) -> dict[str, float]:
    """The figures of `DELAYS`."""
    cuts = statistics.quantiles([(started - pushed) * 1000 for pushed, started in notes], n=100, method="inclusive")
    return {"p50_ms": cuts[49], "p99_ms": cuts[98]}

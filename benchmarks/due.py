"""Scheduled jobs that come due: many at once, then at a steady rate. Both pollers run as they come."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.counters import COMMANDS, CPU, REDIS_CPU, Moment, Watch
from benchmarks.machine import Bench
from benchmarks.notes import DELAYS, Notes, delays
from benchmarks.payload import JID, written
from benchmarks.processes import Worker
from benchmarks.rounds import Figure, Once
from benchmarks.systems import Setup, System

KINDS = {"burst": "all at once", "steady": "one after the other"}
FIGURES = tuple(
    Figure(f"{kind}_{figure.key}", f"{said}: {figure.unit.replace('push', 'due')}", digits=figure.digits)
    for kind, said in KINDS.items()
    for figure in (*DELAYS, CPU, REDIS_CPU, COMMANDS)
)
POLLS_AFTER = 16.0  # seconds: Sidekiq's poller begins 10 to 15 s after its process
AHEAD = 2.0  # seconds from schedule to due
PATIENCE = 90.0  # seconds
BATCH = 1000


def due(burst: int, rate: float, seconds: float) -> Once:
    """A measurement of `burst` jobs due at one instant, then of `rate` a second for so many `seconds`."""

    def once(bench: Bench, system: System) -> dict[str, float]:
        with bench.worker(system, Setup()) as worker:
            time.sleep(POLLS_AFTER)
            notes = Notes(bench, worker, "default")

            def came(kind: str, before: int, when: Callable[[float, int], float], jobs: int) -> dict[str, float]:
                watch = Watch(bench.redis)
                first = time.time() + AHEAD
                schedule(bench, [when(first, number) for number in range(jobs)], before)
                start = Moment(bench, worker, watch)
                _wait(bench, worker, watch, when(first, jobs - 1))
                figures = Moment(bench, worker, watch).since(start, jobs)
                figures |= delays(notes.read(before + jobs)[before:])
                return {f"{kind}_{key}": value for key, value in figures.items()}

            figures = came("burst", 0, lambda first, _: first, burst)
            later = round(rate * seconds)
            return figures | came("steady", burst, lambda first, number: first + number / rate, later)

    return once


def schedule(bench: Bench, times: list[float], first: int) -> None:
    """Put a job into `schedule` for each of the times; the time is its argument. Their jids go on from `first`."""
    before, after = written("Bench::Timed", ["@", 0, 0]).split('"@"')
    members = {
        f"{before}{at:.6f}{after}".replace(JID, f"{number:024x}"): at for number, at in enumerate(times, first + 1)
    }
    several = list(members.items())
    for low in range(0, len(several), BATCH):
        bench.redis.zadd("schedule", dict(several[low : low + BATCH]))


def _wait(bench: Bench, worker: Worker, watch: Watch, last: float) -> None:
    """Wait until the jobs are done; hardly asking, for what Redis does for the benchmark would count too."""
    time.sleep(max(last - time.time(), 0))

    def gone() -> bool:
        watch.count("zcard")
        return not bench.redis.zcard("schedule") and watch.remaining() == 0

    worker.wait(gone, PATIENCE, "the last due jobs", pause=0.1)

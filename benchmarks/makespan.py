"""Makespan: how long several processes take for a full queue together, and who keeps jobs beside an idle neighbour.

python -m benchmarks.makespan [--processes 2 4] [--load cpu mixed burst quick] [--jobs 1.0]
    [--systems pykiq base] [--base FOLDER] [--rounds 3]

The processes have started and are warm when the queue comes, whole, in one step. The time is from then to the last
job's end, and it is divided by the ideal: what the jobs compute over the cores, or what they take over all slots, if
that is more. In-flight lists are read every few milliseconds: a process that holds more than its slots while another
holds nothing, and the queue is empty, hoards.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from dataclasses import dataclass

import redis

from benchmarks.machine import Bench, machine
from benchmarks.payload import BATCH_JOBS, JID, fill, written
from benchmarks.processes import BenchmarkError, Worker, cpu_seconds
from benchmarks.rounds import Figure, Once, Spread
from benchmarks.systems import CONCURRENCY, Setup, System

FIGURES = (
    Figure("ratio", "times the ideal", digits=3),
    Figure("used", "of the cores used", digits=3),
    Figure("hoarded_ms", "ms in which one process idled and another held more than its slots"),
    Figure("tail_ms", "ms from when the first process had nothing left to the end"),
    Figure("held", "jobs that one process held at most"),
)
PATIENCE = 120.0  # seconds
PAUSE = 0.004  # seconds between two looks at the lists
SETTLED = 1.0  # seconds after the first jobs
WARM = 200  # jobs a process
ASIDE = "queue:aside"


@dataclass(frozen=True)
class Load:
    """Jobs of several kinds: how many parts of each, how long they sleep, how long they compute (s)."""

    count: int
    kinds: tuple[tuple[int, float, float], ...]
    runs: int = 1  # so many of one kind in a row

    def draw(self) -> list[tuple[float, float]]:
        """The jobs in their order, the same each time: what each sleeps and what it computes (s)."""
        rng = random.Random(self.count)
        pool = [(sleep, compute) for parts, sleep, compute in self.kinds for _ in range(parts)]
        jobs: list[tuple[float, float]] = []
        while len(jobs) < self.count:
            jobs += [rng.choice(pool)] * self.runs
        return jobs[: self.count]


LOADS = {
    "cpu": Load(1000, ((1, 0.0, 0.004),)),
    "mixed": Load(400, ((1, 0.0, 0.0), (1, 0.0, 0.020))),
    "burst": Load(4000, ((49, 0.001, 0.0), (1, 0.0, 0.050)), runs=40),
    "quick": Load(60_000, ((1, 0.0, 0.0),)),
    "sleep": Load(20_000, ((1, 0.001, 0.0),)),
}


def makespan(load: Load, processes: int) -> Once:
    """A measurement of `load`, worked off by a fleet of `processes`."""

    def once(bench: Bench, system: System) -> dict[str, float]:
        bench.empty()
        jobs = load.draw()
        with bench.worker(system, Setup(processes=processes)) as worker:
            _warm(bench, worker, processes)
            _aside(bench.redis, jobs)
            cpu, began = _cpu(worker), time.perf_counter()
            bench.redis.rename(ASIDE, "queue:default")
            watched = _watch(bench.redis, worker, processes)
            took, cpu = time.perf_counter() - began, _cpu(worker) - cpu
        cores = min(os.cpu_count() or 1, processes)
        slots = sum(map(sum, jobs)) / (CONCURRENCY * processes)
        ideal = max(sum(compute for _, compute in jobs) / cores, slots, 1e-3)
        return watched | {"ratio": took / ideal, "used": cpu / took / cores}

    return once


def _cpu(worker: Worker) -> float:
    return sum(map(cpu_seconds, worker.pids()))


def _warm(bench: Bench, worker: Worker, processes: int) -> None:
    ready = f"{processes} processes listed"
    worker.wait(lambda: bench.redis.scard("processes") >= processes, PATIENCE, ready, pause=0.1)
    time.sleep(SETTLED)
    fill(bench.redis, written("Bench::Sleep", [0.005]), WARM * processes)
    worker.wait(lambda: not bench.redis.llen("queue:default"), PATIENCE, "the first jobs", pause=0.1)
    time.sleep(SETTLED)


def _aside(client: redis.Redis, jobs: list[tuple[float, float]]) -> None:
    texts = [written("Bench::Timed", [0, *one]).replace(JID, f"{number:024x}") for number, one in enumerate(jobs, 1)]
    for low in range(0, len(texts), BATCH_JOBS):
        client.lpush(ASIDE, *texts[low : low + BATCH_JOBS])


def _watch(client: redis.Redis, worker: Worker, processes: int) -> dict[str, float]:
    """Look at the lists until nothing is left."""
    began = last = time.perf_counter()
    deadline, dry_at, most, hoarded = began + PATIENCE, None, 0, 0.0
    while True:
        with client.pipeline(transaction=False) as pipeline:
            pipeline.llen("queue:default")
            for key in (keys := client.keys("pykiq:inflight:*")):
                pipeline.llen(key)
            waiting, *lengths = pipeline.execute()
        now = time.perf_counter()
        held = sum(lengths)
        most = max([most, *lengths])
        if not waiting:
            if not held:
                return {"hoarded_ms": hoarded * 1e3, "tail_ms": (now - (dry_at or now)) * 1e3, "held": most}
            if len([length for length in lengths if length]) < processes:
                dry_at = dry_at or now
                hoarded += now - last if max(lengths) > CONCURRENCY else 0.0
        last = now
        worker.check()
        if now > deadline:
            raise BenchmarkError(f"{waiting} jobs wait and {held} are held by {len(keys)} after {PATIENCE:g} s")
        time.sleep(PAUSE)


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.makespan", description="a full queue, several processes"
    )
    parser.add_argument("--processes", nargs="+", type=int, default=[2], metavar="N")
    parser.add_argument("--load", nargs="+", choices=LOADS, default=list(LOADS), metavar="NAME", help=", ".join(LOADS))
    parser.add_argument("--systems", nargs="+", choices=("pykiq", "base"), default=["pykiq"], metavar="NAME")
    parser.add_argument("--base", metavar="FOLDER", help="another checkout, or a revision of this one")
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="the systems in turns, so often")
    given = parser.parse_args()
    try:
        with machine(given.systems, given.base) as bench:
            for name in given.load:
                for processes in given.processes:
                    _rounds(bench, name, processes, given.rounds)
    except BenchmarkError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _rounds(bench: Bench, name: str, processes: int, rounds: int) -> None:
    once = makespan(LOADS[name], processes)
    taken: dict[str, list[dict[str, float]]] = {system.name: [] for system in bench.systems}
    for _ in range(rounds):
        for system in bench.systems:
            taken[system.name].append(once(bench, system))
    for system in bench.systems:
        told = "; ".join(_figure(figure, taken[system.name]) for figure in FIGURES)
        sys.stdout.write(f"{name}, {processes} processes, {system.name}: {told}\n")
        sys.stdout.flush()


def _figure(figure: Figure, rounds: list[dict[str, float]]) -> str:
    """The median of one figure, with least and most."""
    spread = Spread.of(taken[figure.key] for taken in rounds)
    median, least, most = (f"{value:.{figure.digits}f}" for value in (spread.median, spread.least, spread.most))
    return f"{median} ({least} to {most}) {figure.unit}"


if __name__ == "__main__":
    sys.exit(main())

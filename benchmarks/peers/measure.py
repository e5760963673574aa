"""What is measured: throughput, delay, and what a kill -9 costs. Each sees only what the handlers write to a file."""

from __future__ import annotations

import statistics
import time
from collections import Counter

from benchmarks.machine import Bench
from benchmarks.peers.systems import System
from benchmarks.rounds import Figure

FIGURES = {
    "throughput": (Figure("jobs_per_s", "no-op jobs/s", more_is_better=True),),
    "latency": (
        Figure("p50_ms", "ms from push to start, p50", digits=1),
        Figure("p99_ms", "ms from push to start, p99", digits=1),
    ),
    "crash": (
        Figure("missing", "jobs not done 30 s after kill -9"),
        Figure("twice", "jobs done twice"),
        Figure("seconds", "s from the kill to the last job", digits=1),
    ),
}
WARM = 20  # jobs before the ones of which the delay counts
JOBS = 40  # of a quarter of a second, for the crash: ten run when the worker is killed
PATIENCE = 60.0  # seconds
LOST = 30.0  # seconds after a kill


def measure(kind: str, bench: Bench, system: System, *, quick: bool) -> dict[str, float]:
    """One round of one measurement."""
    bench.empty()
    bench.stamps.write_text("")
    if kind == "throughput":
        return _throughput(bench, system, system.noops // (10 if quick else 1))
    return _latency(bench, system, 20 if quick else 150) if kind == "latency" else _crash(bench, system)


def _lines(bench: Bench) -> list[str]:
    return bench.stamps.read_text().splitlines()


def _throughput(bench: Bench, system: System, count: int) -> dict[str, float]:
    """The queue is full before the worker starts; the clock runs from the first job to the last."""
    system.push(bench, "noop", count)
    with system.worker(bench) as worker:
        worker.wait(lambda: len(_lines(bench)) == 2, 2 * PATIENCE, "the last job", pause=0.05)
    first, last = sorted(map(float, _lines(bench)))
    return {"jobs_per_s": count / (last - first)}


def _latency(bench: Bench, system: System, count: int) -> dict[str, float]:
    with system.worker(bench) as worker:
        system.push(bench, "stamp", WARM)
        worker.wait(lambda: len(_lines(bench)) == WARM, PATIENCE, "the first jobs", pause=0.05)
        system.push(bench, "stamp", count)
        worker.wait(lambda: len(_lines(bench)) == WARM + count, PATIENCE, "the last jobs", pause=0.05)
    took = [float(line) * 1000 for line in _lines(bench)[WARM:]]
    cuts = statistics.quantiles(took, n=100, method="inclusive")
    return {"p50_ms": cuts[49], "p99_ms": cuts[98]}


def _crash(bench: Bench, system: System) -> dict[str, float]:
    """The worker, with all its processes, is killed while jobs run; another one starts at once."""
    system.push(bench, "slow", JOBS)
    with system.worker(bench) as worker:
        worker.wait(lambda: len(_lines(bench)) >= 5, PATIENCE, "the first jobs", pause=0.01)
        time.sleep(0.1)  # the next ones run now
    killed = time.time()
    with system.worker(bench) as worker:
        deadline = time.monotonic() + LOST
        while len(set(_lines(bench))) < JOBS and time.monotonic() < deadline:
            time.sleep(0.05)
        done = Counter(_lines(bench))
    last = bench.stamps.stat().st_mtime
    return {
        "missing": JOBS - len(done),
        "twice": sum(times > 1 for times in done.values()),
        "seconds": max(last - killed, 0.0),
    }

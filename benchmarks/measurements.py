"""Which measurements there are, and for how long each runs."""

from __future__ import annotations

from benchmarks import steady
from benchmarks.counters import LOAD, RATE, SCRIPTS
from benchmarks.enqueue import FIGURES as PUSHES
from benchmarks.enqueue import enqueue
from benchmarks.full import RSS, full
from benchmarks.idle import FIGURES as IDLENESS
from benchmarks.idle import idle
from benchmarks.rounds import Measurement
from benchmarks.systems import CONCURRENCY, Setup

NOOP = "Bench::Noop"
FULL = (RATE, *LOAD)
QUICK = 0.1  # of the time; shows that the code works, no more


def measurements(quick: bool) -> list[Measurement]:
    part = QUICK if quick else 1.0
    return [*_steady(part), *_slow(part), *_noops(part), *_others(part)]


def _steady(part: float) -> list[Measurement]:
    """Arrivals at a rate that keeps so much of the slots busy; and short jobs, and jobs that compute."""
    found = []
    for busy in (25, 50, 75, 90):
        rate = busy / 100 * CONCURRENCY / 0.010
        once = steady.steady(rate, 4 * part, pause=0.010)
        title = f"jobs of 10 ms, {rate:.0f}/s: {busy} % busy"
        found.append(Measurement(f"steady-{busy}", title, steady.FIGURES, once, plain=True))
    short = steady.steady(1500, 4 * part, pause=0.001)
    found.append(Measurement("steady-1ms", "jobs of 1 ms, 1,500/s", steady.FIGURES, short, plain=True))
    computing = steady.steady(200, 4 * part, compute=0.002)
    found.append(Measurement("steady-cpu", "jobs of 2 ms CPU, 200/s", steady.FIGURES, computing, plain=True))
    return found


def _slow(part: float) -> list[Measurement]:
    """Jobs that take their time, on a full queue."""
    found = []
    for ms, seconds in ((1, 3), (5, 3), (50, 4)):
        once = full("Bench::Sleep", CONCURRENCY * 1000 / ms * 1.2, seconds * part, args=[ms / 1000])
        found.append(Measurement(f"sleep-{ms}ms", f"full queue, jobs of {ms} ms", FULL, once, plain=True))
    once = full("Bench::Timed", 1000, 3 * part, args=[0, 0.010, 0.001])
    found.append(Measurement("work-11ms", "full queue, 1 ms CPU and 10 ms of sleep", FULL, once, plain=True))
    return found


def _noops(part: float) -> list[Measurement]:
    """Jobs that do nothing, on a full queue: what the system itself takes."""
    found = [
        Measurement("noop", "no-op jobs, 200 B", (*FULL, SCRIPTS, RSS), full(NOOP, 120_000, 2 * part), plain=True),
        Measurement(
            "noop-logged",
            "no-op jobs, two JSON lines each",
            FULL,
            full(NOOP, 100_000, 2 * part, setup=Setup(log="json")),
        ),
    ]
    for size, per_s in ((2_000, 50_000), (20_000, 20_000), (200_000, 4_000), (1_000_000, 800)):
        name = f"{size // 1000:,} kB"
        once = full(NOOP, per_s, 1.5 * part, size=size)
        found.append(Measurement(f"payload-{size // 1000}kB", f"no-op jobs, {name}", (*FULL, RSS), once))
    for processes in (2, 4):
        once = full(NOOP, 150_000, 2 * part, setup=Setup(processes=processes))
        found.append(Measurement(f"processes-{processes}", f"no-op jobs, {processes} processes", FULL, once))
    return found


def _others(part: float) -> list[Measurement]:
    found = [
        Measurement("push-single", "perform_async", PUSHES, enqueue("single", int(10_000 * part))),
        Measurement("push-bulk", "perform_bulk by 1,000", PUSHES, enqueue("bulk", int(100_000 * part))),
        Measurement("idle", "idle", IDLENESS, idle(10 * part)),
    ]
    for queues in (1, 8):
        title = f"push to start, idle worker, {queues} {'queue' if queues == 1 else 'queues'}"
        once = steady.steady(50, 6 * part, queues=queues)
        found.append(Measurement(f"latency-{queues}", title, steady.FIGURES, once, plain=queues == 1))
    return found

"""Which measurements there are, and for how long each runs."""

from __future__ import annotations

from benchmarks import due, steady
from benchmarks.counters import LOAD, RATE, SCRIPTS
from benchmarks.enqueue import FIGURES as PUSHES
from benchmarks.enqueue import enqueue
from benchmarks.full import RSS, filled, full
from benchmarks.idle import FIGURES as IDLENESS
from benchmarks.idle import idle
from benchmarks.payload import wrapped
from benchmarks.rounds import Measurement, Once
from benchmarks.start import FIGURES as STARTS
from benchmarks.start import start
from benchmarks.systems import CONCURRENCY, Setup

NOOP = "Bench::Noop"
FULL = (RATE, *LOAD)
JOB_S = 0.010  # seconds that most of the steady jobs sleep
MOST = CONCURRENCY / JOB_S  # of them a second
QUICK = 0.1  # of the time: shows that the code works, no more


def measurements(quick: bool) -> list[Measurement]:
    part = QUICK if quick else 1.0
    fleets = (2, 3) if quick else (10, 40)
    return [
        *_steady(part),
        *_queues(part),
        *_slow(part),
        *_kinds(part),
        *_noops(part),
        *_pushes(part),
        *_idle(part, fleets),
    ]


def _arriving(name: str, title: str, once: Once, *, plain: bool = False, slow: bool = False) -> Measurement:
    return Measurement(name, title, steady.FIGURES, once, plain, slow)


def _steady(part: float) -> list[Measurement]:
    """Jobs that arrive one by one."""
    found = []
    for busy in (25, 50, 75, 90):
        rate = busy / 100 * MOST
        once = steady.steady(rate, 2.5 * part, pause=JOB_S)
        found.append(_arriving(f"steady-{busy}", f"jobs of 10 ms, {busy} % busy", once, plain=busy == 25))
    short = steady.steady(1500, 2.5 * part, pause=0.001)
    computing = steady.steady(200, 2.5 * part, compute=0.002)
    swept = steady.sweep(1.5 * part)
    return [
        *found,
        _arriving("steady-1ms", "jobs of 1 ms, 1,500/s", short, plain=True),
        _arriving("steady-cpu", "jobs of 2 ms CPU, 200/s", computing, plain=True),
        _arriving("latency-1", "no-op jobs, 50/s, 1 queue", steady.steady(50, 4 * part), plain=True),
        Measurement("sweep", "jobs of 5 ms at rising rates", steady.sweep_figures(), swept, plain=True, slow=True),
        Measurement("due", "1,000s of scheduled jobs", due.FIGURES, _due(part), slow=True),
    ]


def _due(part: float) -> Once:
    return due.due(int(5000 * part), 100, 15 * part)


def _queues(part: float) -> list[Measurement]:
    """Many queues, and where the jobs are."""
    eight = [f"q{number}" for number in range(8)]
    found = [_arriving("latency-8", "no-op jobs, 50/s, 8 queues", steady.steady(50, 4 * part, served=eight))]
    for count in (20, 200):
        served = [f"q{number}" for number in range(count)]
        once = steady.steady(0.45 * MOST, 2.5 * part, pause=JOB_S, served=served, busy=served[:1])
        found.append(_arriving(f"queues-{count}-one", f"{count} queues, one of them 45 % busy", once, slow=True))
        for busy in (45, 70):
            once = steady.steady(busy / 100 * MOST, 2.5 * part, pause=JOB_S, served=served)
            title = f"{count} queues, {busy} % busy over all"
            found.append(_arriving(f"queues-{count}-{busy}", title, once, slow=True))
    served = [f"q{number}" for number in range(500)]
    last = steady.steady(0.45 * MOST, 2.5 * part, pause=JOB_S, served=served, busy=served[-1:])
    weighted = [f"q{number},{number}" for number in range(1, 21)]
    over = steady.steady(0.45 * MOST, 2.5 * part, pause=JOB_S, served=weighted)
    noops = full(NOOP, 120_000, 2 * part, setup=Setup(queues=weighted))
    return [
        *found,
        _arriving("queues-500-last", "the last of 500 queues 45 % busy", last, slow=True),
        _arriving("weights", "weights 1 to 20, 45 % busy", over, slow=True),
        Measurement("weights-full", "weights 1 to 20, no-op jobs in all", FULL, noops, slow=True),
    ]


def _slow(part: float) -> list[Measurement]:
    """Jobs that take their time, on a full queue."""
    found = []
    for ms in (1, 5, 50):
        once = full("Bench::Sleep", CONCURRENCY * 1000 / ms * 1.2, 2 * part, args=[ms / 1000])
        found.append(Measurement(f"sleep-{ms}ms", f"full queue, jobs of {ms} ms", FULL, once, plain=ms == 5))
    once = full("Bench::Timed", 1000, 2 * part, args=[0, 0.010, 0.001])
    return [*found, Measurement("work-11ms", "full queue, jobs of 1 ms CPU and 10 ms of sleep", FULL, once)]


def _kinds(part: float) -> list[Measurement]:
    """Jobs that take more than their own work, on a full queue."""
    failing = full("Bench::Deep", 20_000, 2 * part, args=[30], backtrace=True)
    mails = filled(
        lambda queue: wrapped("Bench::Mail", [1, "you"], queue), 60_000, 2 * part, Setup(extras=["activejob"])
    )
    chained = full(NOOP, 100_000, 2 * part, setup=Setup(extras=["middleware"]))
    found = [
        Measurement("failing", "jobs that fail 30 frames deep, backtrace kept", FULL, failing),
        Measurement("activejob", "ActiveJobs that do nothing", FULL, mails, slow=True),
        Measurement("middleware", "no-op jobs, three middlewares", FULL, chained, slow=True),
    ]
    for name, job in (("fan-out", "Bench::Fan"), ("fan-out-async", "Bench::AsyncFan")):
        once = full(job, 3000, 2 * part, args=[10])
        kind = "async def" if job == "Bench::AsyncFan" else "def"
        found.append(Measurement(name, f"jobs that push 10 jobs each, {kind}", FULL, once, slow=True))
    return found


def _noops(part: float) -> list[Measurement]:
    """Jobs that do nothing, on a full queue: what the system itself takes."""
    noops = full(NOOP, 120_000, 2 * part)
    logged = full(NOOP, 100_000, 2 * part, setup=Setup(log="json"))
    found = [
        Measurement("noop", "no-op jobs, 200 B", (*FULL, SCRIPTS, RSS), noops, plain=True),
        Measurement("noop-logged", "no-op jobs, two JSON lines each", FULL, logged),
    ]
    for processes in (2, 4):
        once = full(NOOP, 150_000, 2 * part, setup=Setup(processes=processes))
        found.append(Measurement(f"processes-{processes}", f"no-op jobs, {processes} processes", FULL, once, slow=True))
    deep = full(NOOP, 120_000, 2 * part, depth=int(1_000_000 * part))
    found.append(Measurement("depth", "no-op jobs, a million in the queue", (*FULL, RSS), deep, slow=True))
    for size, per_s in ((2_000, 50_000), (20_000, 20_000), (200_000, 4_000), (1_000_000, 800)):
        name = f"{size // 1000:,} kB"
        once = full(NOOP, per_s, 1.5 * part, size=size)
        found.append(Measurement(f"payload-{size // 1000}kB", f"no-op jobs, {name}", (*FULL, RSS), once, slow=True))
    return found


def _pushes(part: float) -> list[Measurement]:
    return [
        Measurement("push-single", "perform_async", PUSHES, enqueue("single", int(10_000 * part))),
        Measurement("push-bulk", "perform_bulk by 1,000", PUSHES, enqueue("bulk", int(100_000 * part))),
    ]


def _idle(part: float, fleets: tuple[int, int]) -> list[Measurement]:
    """Workers without work."""
    found = [
        Measurement("start", "start to first job", STARTS, start()),
        Measurement("idle", "idle", IDLENESS, idle(10 * part), slow=True),
    ]
    for count in (200, 500):
        once = idle(10 * part, Setup(queues=[f"q{number}" for number in range(count)]))
        found.append(Measurement(f"idle-{count}-queues", f"idle, {count} queues", IDLENESS, once, slow=True))
    for count in fleets:
        once = idle(10 * part, Setup(fleet=count))
        found.append(Measurement(f"idle-{count}-processes", f"idle, {count} processes", IDLENESS, once, slow=True))
    return found

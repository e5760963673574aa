"""Which measurements there are, how often and with how many jobs; the command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import chart, report
from benchmarks.drain import COSTS, CPU, RATE, RSS, drain
from benchmarks.enqueue import FIGURES as PUSHES
from benchmarks.enqueue import enqueue
from benchmarks.idle import FIGURES as IDLENESS
from benchmarks.idle import idle
from benchmarks.latency import FIGURES as DELAYS
from benchmarks.latency import latency
from benchmarks.machine import BenchmarkError, machine, surroundings
from benchmarks.rounds import Measurement, run


def measurements(quick: bool) -> list[Measurement]:
    """All of them; quick ones have a tenth of the jobs and one round: they show that the code works, no more."""

    def jobs(count: int) -> int:
        return max(count // 10, 10) if quick else count

    def rounds(count: int) -> int:
        return 1 if quick else count

    both = (RATE, CPU)
    noop = "Bench::Noop"
    found = [
        Measurement("noop", "no-op jobs, 200 B", (*both, RSS, *COSTS), drain(noop, jobs(60_000)), rounds(5)),
        Measurement(
            "noop-logged", "no-op jobs, two JSON lines each", both, drain(noop, jobs(60_000), log="json"), rounds(5)
        ),
        Measurement(
            "sleep-1ms", "jobs that sleep 1 ms", both, drain("Bench::Sleep", jobs(20_000), args=[0.001]), rounds(3)
        ),
        Measurement(
            "sleep-50ms", "jobs that sleep 50 ms", both, drain("Bench::Sleep", jobs(800), args=[0.05]), rounds(3)
        ),
        Measurement("push-single", "perform_async", PUSHES, enqueue("single", jobs(10_000)), rounds(5)),
        Measurement("push-bulk", "perform_bulk by 1,000", PUSHES, enqueue("bulk", jobs(100_000)), rounds(5)),
        Measurement("latency-1", "push to start, 1 queue", DELAYS, latency(1, jobs(400)), rounds(3)),
        Measurement("latency-8", "push to start, 8 queues", DELAYS, latency(8, jobs(400)), rounds(3)),
        Measurement("idle", "idle", IDLENESS, idle(2 if quick else 10), rounds(3)),
    ]
    for size, count in ((2_000, 40_000), (20_000, 10_000), (200_000, 1_500)):
        title = f"no-op jobs, {size // 1000} kB"
        found.append(
            Measurement(
                f"payload-{size // 1000}kB", title, (*both, RSS), drain(noop, jobs(count), size=size), rounds(3)
            )
        )
    for processes in (2, 4):
        title = f"no-op jobs, {processes} processes"
        scaled = drain(noop, jobs(100_000), processes=processes)
        found.append(Measurement(f"processes-{processes}", title, both, scaled, rounds(3)))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="pykiq and real Sidekiq side by side")
    parser.add_argument("--quick", action="store_true", help="one short round each: shows that it works")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these measurements only")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for the results; not written when quick")
    given = parser.parse_args()
    chosen = measurements(given.quick)
    unknown = set(given.only or ()) - {one.name for one in chosen}
    if unknown:
        parser.error(f"--only: no {', '.join(sorted(unknown))}; there are {', '.join(one.name for one in chosen)}")
    chosen = [one for one in chosen if not given.only or one.name in given.only]
    out = given.out or (None if given.quick else Path("benchmarks/results"))
    results = []
    try:
        with machine() as bench:
            around = surroundings(bench)
            say(", ".join(f"{name} {value}" for name, value in around.items()))
            for measurement in chosen:
                results.append(run(bench, measurement, say))
                if out:
                    report.write(results[-1], around, out)
    except BenchmarkError as error:
        say(f"error: {error}")
        return 1
    sys.stdout.write(report.table(results) + "\n")
    if out:
        drawn = chart.draw(out)
        say(f"results in {out}" + (f", chart in {drawn}" if drawn else "; no chart: matplotlib is not installed"))
    return 0


def say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())

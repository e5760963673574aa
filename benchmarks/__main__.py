"""The command line: which measurements, of which systems, how often."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import chart, report
from benchmarks.machine import NAMES, SIDEKIQ, machine, surroundings
from benchmarks.measurements import measurements
from benchmarks.processes import BenchmarkError
from benchmarks.rounds import run

ROUNDS = 5
RESULTS = Path("benchmarks/results")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks", description="pykiq and real Sidekiq side by side")
    made.add_argument("--list", action="store_true", help="the names of all measurements, and no more")
    made.add_argument("--only", nargs="+", metavar="NAME", help="these measurements; `steady-` is all that begin so")
    made.add_argument("--quick", action="store_true", help="one short round each: shows that it works")
    made.add_argument("--rounds", type=int, metavar="N", help=f"how often everybody's turn comes ({ROUNDS})")
    made.add_argument("--base", metavar="WHAT", help="compare with another checkout too, or a revision of this one")
    made.add_argument("--base-python", metavar="PATH", default=sys.executable, help="runs it; this one unless given")
    made.add_argument(
        "--systems", nargs="+", choices=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)}: all but threads"
    )
    made.add_argument("--sidekiq", metavar="VERSION", default=SIDEKIQ, help=f"which one ({SIDEKIQ})")
    made.add_argument("--out", type=Path, metavar="FOLDER", help="for the results")
    return made


def main() -> int:
    reader = parser()
    given = reader.parse_args()
    chosen = measurements(given.quick)
    if given.list:
        sys.stdout.write("".join(f"{one.name:20}{one.title}\n" for one in chosen))
        return 0
    for wanted in given.only or ():
        if not any(_means(wanted, one.name) for one in chosen):
            reader.error(f"--only: no {wanted}; there are {', '.join(one.name for one in chosen)}")
    chosen = [one for one in chosen if not given.only or any(_means(wanted, one.name) for wanted in given.only)]
    systems = given.systems or ["pykiq", *(["base"] if given.base else []), "Sidekiq", "floor"]
    if ("base" in systems) != bool(given.base):
        reader.error("--systems base and --base belong together")
    # What is taken all at once, and as it has to be, may take the place of the figures that are there.
    out = given.out or (None if given.quick or given.only or given.base or given.systems else RESULTS)
    results = []
    try:
        with machine(systems, given.base, given.base_python, given.sidekiq) as bench:
            around = surroundings(bench)
            say(", ".join(f"{name} {value}" for name, value in around.items()))
            for measurement in chosen:
                results.append(run(bench, measurement, given.rounds or (1 if given.quick else ROUNDS), say))
                if out:
                    report.write(results[-1], around, out)
            versions = {system.name: system.version for system in bench.systems}
    except BenchmarkError as error:
        say(f"error: {error}")
        return 1
    sys.stdout.write(report.table(results, versions) + "\n")
    if out:
        drawn = " and ".join(map(str, chart.draw(out)))
        say(f"results in {out}" + (f", charts: {drawn}" if drawn else "; no chart: matplotlib is not installed"))
    return 0


def _means(wanted: str, name: str) -> bool:
    return name == wanted or (wanted.endswith("-") and name.startswith(wanted))


def say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())

"""Jobs that do nothing, as `def` and as `async def`, in turns: what the event loop costs beside threads.

python -m benchmarks.kinds [ROUNDS]
"""

from __future__ import annotations

import sys

from benchmarks.counters import CPU, RATE
from benchmarks.full import full
from benchmarks.machine import alone
from benchmarks.rounds import Spread

JOBS_PER_S = 120_000  # more than there will be
SECONDS = 2.0
KINDS = {"def": "Bench::Noop", "async def": "Bench::AsyncNoop"}


def main(rounds: int = 5) -> None:
    taken: list[dict[str, dict[str, float]]] = []
    with alone() as (bench, pykiq):
        for _ in range(rounds):
            figures = {}
            for kind, job in KINDS.items():
                bench.empty()
                figures[kind] = full(job, JOBS_PER_S, SECONDS)(bench, pykiq)
            taken.append(figures)
    for kind in KINDS:
        rate, cpu = (Spread.of(figures[kind][figure.key] for figures in taken) for figure in (RATE, CPU))
        say(
            f"{kind:10}{rate.median:10,.0f} jobs/s ({rate.least:,.0f} to {rate.most:,.0f}), {cpu.median:.0f} {CPU.unit}"
        )
    ratio = Spread.of(figures["async def"][RATE.key] / figures["def"][RATE.key] for figures in taken)
    say(f"async def / def: {ratio.median:.2f} ({ratio.least:.2f} to {ratio.most:.2f})")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

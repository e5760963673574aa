"""python -m benchmarks.peers: all systems in turns; a table, one JSON file, a chart."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.__main__ import say
from benchmarks.machine import machine, surroundings
from benchmarks.peers.measure import FIGURES, measure
from benchmarks.peers.systems import PEERS, OnSidekiqsFormat, Peer, System
from benchmarks.processes import BenchmarkError
from benchmarks.rounds import Figure, Spread

OUT = Path("benchmarks/results/peers")
BASE = "Sidekiq"
Rounds = dict[str, dict[str, list[dict[str, float]]]]  # by measurement and system


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round each: shows that it works")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these systems beside pykiq and Sidekiq")
    parser.add_argument("--rounds", type=int, default=3, help="how often everybody's turn comes (3)")
    given = parser.parse_args()
    known = {peer.name: peer for peer in PEERS}
    if unknown := set(given.only or ()) - set(known):
        parser.error(f"--only: no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    peers = [known[name] for name in given.only or known]
    try:
        around, rounds = run(peers, 1 if given.quick else given.rounds, quick=given.quick)
    except BenchmarkError as error:
        say(f"error: {error}")
        return 1
    sys.stdout.write(table(rounds) + "\n")
    if not given.quick:
        OUT.mkdir(parents=True, exist_ok=True)
        for kind, taken in rounds.items():
            (OUT / f"{kind}.json").write_text(json.dumps({**around, "rounds": taken}, indent=1) + "\n")
        draw(rounds)
    return 0


def run(peers: list[Peer], times: int, *, quick: bool) -> tuple[dict[str, object], Rounds]:
    """All measurements of all systems, in turns: what slows the machine for a while slows everybody."""
    for peer in peers:
        say(f"{peer.name}: installing")
        peer.install()
    rounds: Rounds = {kind: {} for kind in FIGURES}
    with machine() as bench:
        systems: list[System] = [OnSidekiqsFormat(one, 20_000) for one in bench.systems]
        systems += peers
        around = surroundings(bench) | {system.name: system.version for system in systems}
        for kind, figures in FIGURES.items():
            for number in range(times):
                for system in systems:
                    taken = measure(kind, bench, system, quick=quick)
                    rounds[kind].setdefault(system.name, []).append(taken)
                    shown = ", ".join(f"{taken[one.key]:,.{one.digits}f} {one.unit}" for one in figures)
                    say(f"{kind} {number + 1} {system.name}: {shown}")
    return around, rounds


def spread(taken: list[dict[str, float]], figure: Figure) -> Spread:
    return Spread.of(one[figure.key] for one in taken)


def table(rounds: Rounds) -> str:
    """Markdown: a row per system, medians with least and most, and what the median is to Sidekiq's."""
    shown = [(kind, figure) for kind, figures in FIGURES.items() for figure in figures]
    rows = [["system", *(figure.unit for _, figure in shown)], ["---"] * (len(shown) + 1)]
    for system in rounds["throughput"]:
        row = [system]
        for kind, figure in shown:
            one, base = (spread(rounds[kind][name], figure) for name in (system, BASE))
            ratio = f", **{one.median / base.median:.2f}**" if kind != "crash" and base.median else ""
            digits = figure.digits
            row.append(f"{one.median:,.{digits}f} ({one.least:,.{digits}f} to {one.most:,.{digits}f}){ratio}")
        rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def draw(rounds: Rounds) -> None:
    """`chart.png` beside the results, where matplotlib is installed."""
    try:
        plots: Any = importlib.import_module("matplotlib.figure")
    except ImportError:
        return
    shown = [(kind, figure) for kind, figures in FIGURES.items() for figure in figures]
    picture = plots.Figure(figsize=(11, 3 * len(shown) / 2), layout="constrained")
    for axis, (kind, figure) in zip(picture.subplots((len(shown) + 1) // 2, 2).flat, shown, strict=False):
        names = list(reversed(rounds[kind]))
        medians = [spread(rounds[kind][name], figure).median for name in names]
        axis.barh(names, medians, color=["#2b7a4b" if name == "pykiq" else "#888" for name in names])
        axis.set_title(figure.unit, fontsize=9)
        if kind == "throughput" or "ms" in figure.unit:
            axis.set_xscale("log")
    picture.savefig(OUT / "chart.png", dpi=110)


if __name__ == "__main__":
    sys.exit(main())

"""Draws the results as PNGs, with matplotlib where it is installed: all ratios, and cost and delay over the rate.

python -m benchmarks.chart [FOLDER]
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.counters import RATE
from benchmarks.rounds import Result, Spread

BETTER = "#2b7a4b"
WORSE = "#b5452c"
LINES = {"pykiq": BETTER, "base": "#7ab88f", "Sidekiq": WORSE, "floor": "#888888", "threads": "#bbbbbb"}
PANELS = {
    "jobs_per_s": "jobs per second",
    "cpu_us": "CPU per job",
    "redis_cpu_us": "CPU of Redis per job",
    "commands": "Redis commands per job",
    "p50_ms": "from push to start, p50",
    "p99_ms": "from push to start, p99",
    "rss_mb": "resident memory",
}
COLUMNS = ("jobs_per_s", "cpu_us", "p50_ms"), ("redis_cpu_us", "commands", "p99_ms", "rss_mb")
SWEPT = ("p50_ms", "p99_ms", "cpu_us", "redis_cpu_us", "commands")
SWEEP = "sweep"


def draw(folder: Path) -> list[Path]:
    """`chart.png` and `sweep.png` in the folder, as far as there are results. Nothing without matplotlib."""
    try:
        plots = importlib.import_module("matplotlib.figure")
    except ImportError:
        return []
    read = [report.read(path) for path in sorted(folder.glob("*.json"))]
    results = [result for result, _ in read]
    swept = [result for result in results if result.measurement.name == SWEEP]
    drawn = [_lines(plots, result, folder / "sweep.png") for result in swept]
    if others := [result for result in results if result.measurement.name != SWEEP]:
        drawn.append(_ratios(plots, others, read[0][1], folder / "chart.png"))
    return drawn


def _ratios(plots: Any, results: Iterable[Result], around: dict[str, Any], path: Path) -> Path:
    """A panel per figure: the ratio of each measurement that has it."""
    columns = [[(key, found) for key in keys if (found := _rows(results, key))] for keys in COLUMNS]
    tallest = max(sum(len(found) + 3 for _, found in column) for column in columns)
    figure = plots.Figure(figsize=(15, tallest * 0.19), layout="constrained")
    for part, column in zip(figure.subfigures(1, 2), columns, strict=True):
        heights = [len(found) + 3 for _, found in column]
        panels = part.subplots(max(len(column), 1), 1, height_ratios=heights or None, squeeze=False)[:, 0]
        for axis, (key, found) in zip(panels, column, strict=False):
            _bars(axis, found, more=key == RATE.key)
            side = "right" if key == RATE.key else "left"
            axis.set_title(f"{PANELS[key]}, pykiq / Sidekiq: {side} of 1 is better", fontsize=10)
    figure.suptitle(
        f"pykiq {around['pykiq']} and Sidekiq {around['Sidekiq']}, Redis {around['redis']}, {around['date']}, "
        f"{around['cores']} cores; median, least and most of the rounds' ratios",
        fontsize=10,
    )
    figure.savefig(path, dpi=80)
    return path


def _rows(results: Iterable[Result], key: str) -> list[tuple[str, Spread]]:
    having = [one for one in results if any(figure.key == key for figure in one.measurement.figures)]
    return [(one.measurement.title, ratio) for one in having if (ratio := one.ratio(key, "Sidekiq"))][::-1]


def _bars(axis: Any, rows: list[tuple[str, Spread]], *, more: bool) -> None:
    medians = [ratio.median for _, ratio in rows]
    errors = [[ratio.median - ratio.least for _, ratio in rows], [ratio.most - ratio.median for _, ratio in rows]]
    colours = [BETTER if (median > 1) == more else WORSE for median in medians]
    widths = [median - 1 for median in medians]  # from 1, the line of equals: to the left and to the right
    axis.barh([title for title, _ in rows], widths, left=1, xerr=errors, color=colours, ecolor="#555", height=0.65)
    for at, median in enumerate(medians):
        axis.annotate(f"{median:.2f}", (0.005, at), xycoords=("axes fraction", "data"), va="center", fontsize=7)
    axis.set_xscale("log")
    axis.axvline(1, color="black", linewidth=1)
    axis.tick_params(axis="both", labelsize=7)


def _lines(plots: Any, result: Result, path: Path) -> Path:
    """A panel per figure, over the rate of arrivals; a line per system."""
    figure = plots.Figure(figsize=(11, 9), layout="constrained")
    panels = figure.subplots(3, 2).flat
    keys = [one.key.split("@") for one in result.measurement.figures]
    rates = list(dict.fromkeys(int(rate) for _, rate in keys))
    for axis, key in zip(panels, SWEPT, strict=False):
        for system in result.rounds[0]:
            spreads = [result.spread(system, f"{key}@{rate}") for rate in rates]
            medians = [spread.median if spread else None for spread in spreads]
            axis.plot(rates, medians, marker="o", markersize=3, color=LINES[system], label=system)
        axis.set_xscale("log")
        axis.set_yscale("log")
        unit = {"ms": ", ms", "us": ", µs"}.get(key.rpartition("_")[2], "")
        axis.set_title(PANELS[key] + unit, fontsize=10)
        axis.tick_params(axis="both", labelsize=8)
    panels[0].legend(fontsize=8)
    panels[len(SWEPT)].axis("off")
    figure.suptitle(f"{result.measurement.title}: over jobs per second", fontsize=10)
    figure.savefig(path, dpi=90)
    return path


if __name__ == "__main__":
    drawn = draw(Path(sys.argv[1] if len(sys.argv) > 1 else "benchmarks/results"))
    sys.stdout.write(f"{' '.join(map(str, drawn)) or 'no chart: matplotlib or the results are not there'}\n")

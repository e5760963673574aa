"""Draws benchmarks/results/*.json as one PNG, with matplotlib where it is installed.

python -m benchmarks.chart [FOLDER]
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

BETTER = "#2b7a4b"
WORSE = "#b5452c"


def draw(folder: Path) -> Path | None:
    """`chart.png` in the folder: the ratio of each measurement. None without matplotlib."""
    try:
        plots = importlib.import_module("matplotlib.figure")
    except ImportError:
        return None
    read = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    if not read:
        return None
    figure = plots.Figure(figsize=(11, 9), layout="constrained")
    axes = figure.subplots(2, 1, height_ratios=(2, 3))
    _bars(axes[0], read, "more", "jobs per second, pykiq / Sidekiq: right of 1 is better")
    _bars(axes[1], read, "less", "time, memory, load: pykiq / Sidekiq: left of 1 is better")
    first = read[0]
    about = f"pykiq {first['pykiq']} and Sidekiq {first['Sidekiq']}, Redis {first['redis']}, {first['date']}"
    figure.suptitle(f"{about}, {first['cores']} cores; median, least and most of the rounds' ratios")
    path = folder / "chart.png"
    figure.savefig(path, dpi=110)
    return path


def _bars(axis: Any, read: list[dict[str, Any]], better: str, title: str) -> None:
    rows = [
        (f"{one['title']}: {figure['unit']}", figure["ratio"])
        for one in read
        for figure in one["figures"].values()
        if figure["better"] == better and figure["ratio"]
    ]
    rows.reverse()
    medians = [ratio["median"] for _, ratio in rows]
    errors = [
        [ratio["median"] - ratio["least"] for _, ratio in rows],
        [ratio["most"] - ratio["median"] for _, ratio in rows],
    ]
    colours = [BETTER if (median > 1) == (better == "more") else WORSE for median in medians]
    axis.barh([label for label, _ in rows], medians, xerr=errors, color=colours, ecolor="#555", height=0.65)
    for at, median in enumerate(medians):
        axis.annotate(f" {median:.2f}", (0, at), color="white", va="center", weight="bold", fontsize=8)
    axis.axvline(1, color="black", linewidth=1)
    axis.tick_params(axis="y", labelsize=8)
    axis.set_title(title, fontsize=10)


if __name__ == "__main__":
    drawn = draw(Path(sys.argv[1] if len(sys.argv) > 1 else "benchmarks/results"))
    sys.stdout.write(f"{drawn or 'no chart: matplotlib or the results are not there'}\n")

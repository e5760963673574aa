"""The table, and one JSON file per measurement."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import Bench
from benchmarks.rounds import Figure, Measurement, Result, Spread
from benchmarks.systems import System

OTHERS = ("Sidekiq", "base")  # pykiq's ratios are to these, and so are base's to Sidekiq


def table(results: Iterable[Result], versions: Mapping[str, str]) -> str:
    """Markdown: medians with min and max; a ratio is the median of the rounds' ratios."""
    others = [other for other in OTHERS if other in versions and "pykiq" in versions]
    titles = (f"{name} {version}" for name, version in versions.items())
    head = ["measurement", "figure", *titles, *(f"pykiq / {other}" for other in others)]
    rows: list[Sequence[str]] = [head, ["---"] * len(head)]
    for result in results:
        title = result.measurement.title
        for figure in result.measurement.figures:
            values = (shown(result.spread(system, figure.key), figure.digits) for system in versions)
            rows.append((title, figure.unit, *values, *(ratio(result.ratio(figure.key, other)) for other in others)))
            title = ""
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def shown(spread: Spread | None, digits: int) -> str:
    if spread is None:
        return ""
    median, least, most = (f"{value:,.{digits}f}" for value in dataclasses.astuple(spread))
    return median if least == most else f"{median} ({least} to {most})"


def ratio(spread: Spread | None) -> str:
    return "" if spread is None else f"**{spread.median:.2f}** ({spread.least:.2f} to {spread.most:.2f})"


def write(result: Result, around: Mapping[str, object], folder: Path) -> None:
    """`<name>.json`: where and when, the summary, and the rounds as they were taken."""
    folder.mkdir(parents=True, exist_ok=True)
    measurement = result.measurement
    written = {"name": measurement.name, "title": measurement.title, **around}
    figures = {figure.key: _summary(result, figure) for figure in measurement.figures}
    text = json.dumps(written | {"figures": figures, "rounds": result.rounds}, indent=1, ensure_ascii=False)
    (folder / f"{measurement.name}.json").write_text(text + "\n")


def _summary(result: Result, figure: Figure) -> dict[str, object]:
    def spread(one: Spread | None) -> dict[str, float] | None:
        return None if one is None else dataclasses.asdict(one)

    return {
        "unit": figure.unit,
        "better": "more" if figure.more_is_better else "less",
        "digits": figure.digits,
        **{system: spread(result.spread(system, figure.key)) for system in result.rounds[0]},
        "ratio": spread(result.ratio(figure.key, "Sidekiq")),
        "ratio_to_base": spread(result.ratio(figure.key, "base")),
    }


def read(path: Path) -> tuple[Result, dict[str, Any]]:
    """What `write` has written: the rounds, and all else."""
    held: dict[str, Any] = json.loads(path.read_text())
    figures = tuple(
        Figure(key, one["unit"], one["better"] == "more", one.get("digits", 0)) for key, one in held["figures"].items()
    )

    def never(bench: Bench, system: System) -> dict[str, float]:
        raise NotImplementedError("what was read is not measured again")

    return Result(Measurement(held["name"], held["title"], figures, never), tuple(held["rounds"])), held

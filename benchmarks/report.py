"""The table, and one JSON file per measurement."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.rounds import Figure, Result, Spread

HEAD = ("measurement", "figure", "pykiq", "Sidekiq", "pykiq / Sidekiq")


def table(results: Iterable[Result]) -> str:
    """Markdown: medians with min and max; the ratio is the median of the rounds' ratios."""
    rows = [HEAD, tuple("---" for _ in HEAD)]
    for result in results:
        title = result.measurement.title
        for figure in result.measurement.figures:
            rows.append((title, figure.unit, *_values(result, figure), _ratio(result.ratio(figure.key))))
            title = ""
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _values(result: Result, figure: Figure) -> tuple[str, str]:
    ours, theirs = (_shown(result.spread(system, figure.key), figure.digits) for system in ("pykiq", "Sidekiq"))
    return ours, theirs


def _shown(spread: Spread, digits: int) -> str:
    return f"{spread.median:,.{digits}f} ({spread.least:,.{digits}f} to {spread.most:,.{digits}f})"


def _ratio(spread: Spread | None) -> str:
    return "" if spread is None else f"**{spread.median:.2f}** ({spread.least:.2f} to {spread.most:.2f})"


def write(result: Result, around: Mapping[str, object], folder: Path) -> None:
    """`<name>.json`: where and when, the summary, and the rounds as they were taken."""
    folder.mkdir(parents=True, exist_ok=True)
    measurement = result.measurement
    summary = {
        figure.key: {
            "unit": figure.unit,
            "better": "more" if figure.more_is_better else "less",
            **{system: dataclasses.asdict(result.spread(system, figure.key)) for system in ("pykiq", "Sidekiq")},
            "ratio": dataclasses.asdict(ratio) if (ratio := result.ratio(figure.key)) else None,
        }
        for figure in measurement.figures
    }
    written = {"name": measurement.name, "title": measurement.title, **around, "figures": summary}
    text = json.dumps(written | {"rounds": result.rounds}, indent=1, ensure_ascii=False)
    (folder / f"{measurement.name}.json").write_text(text + "\n")

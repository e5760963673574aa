"""What the demo prints: headings, tables and wrapped lines, in colour only on a terminal that wants it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

BOLD, DIM, GREEN, YELLOW, RED = "1", "2", "32", "33", "31"
_COLOURS = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
_step = 0


def paint(text: str, *codes: str) -> str:
    return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if _COLOURS and codes else text


def step(title: str) -> None:
    """The numbered heading of what comes next."""
    global _step
    _step += 1
    print(f"\n{paint(f'{_step}. {title}', BOLD)}")


def say(text: str = "") -> None:
    print(f"   {text}".rstrip(), flush=True)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], colours: dict[str, str] | None = None) -> None:
    """Columns as wide as they need to be. A row is coloured by the first word of its last cell."""
    rows = list(rows)
    widths = [max(len(row[index]) for row in [headings, *rows]) for index in range(len(headings))]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()

    say(paint(line(headings), DIM))
    before = None
    for row in rows:
        if before is not None and row[0] != before:
            say()
        before = row[0]
        colour = (colours or {}).get(row[-1].split(" ")[0])
        say(paint(line(row), colour) if colour else line(row))


def quote(text: str, width: int = 92) -> None:
    """Long text, such as a payload, cut into lines: nothing is left out."""
    for start in range(0, len(text), width):
        say("   " + text[start : start + width])

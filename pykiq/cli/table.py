"""Tables for people: columns that line up whatever is in them, and fit the terminal.

Our own page of code instead of a library: structlog loads `rich` into every process that has it, workers included, and
what it would save here is less than that costs there.
"""

from __future__ import annotations

import math
import shutil
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from pykiq.cli.output import printable

PIPE_WIDTH = 300  # characters a row, in a pipe or a file: `--json` is for what is longer
NARROWEST = 8  # characters that a column is never cut below
GAP = "  "
_LONGEST_SPAN = 1_000_000 * 86400  # seconds that are written as days; of more the days would fill the line


class Column(NamedTuple):
    """One column. Numbers stand `right`; a `soft` one is cut when the terminal is too narrow, the longest first.

    What is cut loses its end, with `tail` its beginning: `…::ChargeJob` says more than `Billing::In…`.
    """

    name: str
    right: bool = False
    soft: bool = False
    tail: bool = False


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> str:
    """Head and rows, one line each, of at most `width` characters where soft columns allow it; None is any width."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max([len(column.name), *(wide(row[index]) for row in cells)]) for index, column in enumerate(columns)]
    if width is not None:
        widths = _fitted(columns, widths, width - len(GAP) * (len(columns) - 1))
    lines = [[column.name for column in columns], *cells]
    return "\n".join(
        GAP.join(_cell(text, size, column) for text, size, column in zip(line, widths, columns, strict=True)).rstrip()
        for line in lines
    )


def output_width() -> int:
    """How wide a table on standard output may be: COLUMNS, else as the terminal, else PIPE_WIDTH."""
    return shutil.get_terminal_size((PIPE_WIDTH, 0)).columns


def wide(text: str) -> int:
    """How many columns of a terminal a text takes: two for each wide character, none for what combines."""
    if text.isascii():
        return len(text)
    return sum(_wide(char) for char in text)


def cut(text: str, size: int) -> str:
    """The beginning of `text` in at most `size` columns, with an ellipsis when something is missing."""
    if wide(text) <= size:
        return text
    kept, used = [], 0
    for char in text:
        used += _wide(char)
        if used > size - 1:
            break
        kept.append(char)
    return "".join(kept) + "…"


def counted(count: int, noun: str) -> str:
    """`1 job`, `2,000 jobs`, `3 processes`."""
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{ending}"


def span(seconds: float) -> str:
    """A length of time as people say it: `0.3 s`, `12 s`, `3 m 20 s`, `5 h 2 m`, `12 d 3 h`; `inf` for ever."""
    if not math.isfinite(seconds):
        return str(float(seconds))
    if seconds < 0:
        return f"-{span(-seconds)}"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole >= _LONGEST_SPAN:
        return f"{whole / 86400:.1e} d"
    for size, unit, part, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit} {rest} {small}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def _wide(char: str) -> int:
    if unicodedata.combining(char) or char in "\u200b\u200d\ufe0f":
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _cell(text: str, size: int, column: Column) -> str:
    text = cut(text[::-1], size)[::-1] if column.tail else cut(text, size)
    padding = " " * (size - wide(text))
    return padding + text if column.right else text + padding


def _fitted(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    fitted = [
        min(width, max(room, NARROWEST)) if column.soft else width
        for column, width in zip(columns, widths, strict=True)
    ]
    soft = [index for index, column in enumerate(columns) if column.soft]
    while sum(fitted) > room and soft:
        longest = max(soft, key=lambda index: fitted[index])
        if fitted[longest] <= NARROWEST:
            break
        fitted[longest] -= 1
    return fitted

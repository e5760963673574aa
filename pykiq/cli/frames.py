"""A backtrace as its application's developers read it: their own frames, and how many of libraries lie between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

LIBRARIES = (
    *("/site-packages/", "/dist-packages/", "/lib/python", "<frozen ", "<string>"),
    *("/gems/", "/lib/ruby/", "<internal:", "(eval"),
)
"""What is in the path of a frame of Python's and Ruby's own libraries, and of those that were installed."""


def own(backtrace: Sequence[str]) -> list[str]:
    """The frames of the application, and a line for each run of others between them; all if there are only others."""
    return list(_folded(backtrace)) if not all(map(_is_foreign, backtrace)) else list(backtrace)


def _folded(backtrace: Sequence[str]) -> Iterator[str]:
    for foreign, frames in groupby(backtrace, _is_foreign):
        lines = list(frames)
        if foreign:
            yield f"… {len(lines)} of libraries"
        else:
            yield from lines


def _is_foreign(frame: str) -> bool:
    return any(place in frame for place in LIBRARIES)

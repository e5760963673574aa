"""A backtrace as its application's developers read it: their own frames, and how many of libraries lie between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

LIBRARIES = (
    *("/site-packages/", "/dist-packages/", "/lib/python", "<frozen ", "<string>"),
    *("/gems/", "/lib/ruby/", "<internal:", "(eval"),
)
"""A frame with one of these in its path is of Python's or Ruby's own libraries, or of installed ones."""


def folded(backtrace: Sequence[str]) -> list[str]:
    """The frames of the application, and a line for each run of others between them; all if there are only others."""
    return list(backtrace) if all(map(_is_of_a_library, backtrace)) else list(_parts(backtrace))


def _parts(backtrace: Sequence[str]) -> Iterator[str]:
    for of_a_library, frames in groupby(backtrace, _is_of_a_library):
        lines = list(frames)
        if of_a_library:
            yield f"… {len(lines)} of libraries"
        else:
            yield from lines


def _is_of_a_library(frame: str) -> bool:
    return any(place in frame for place in LIBRARIES)

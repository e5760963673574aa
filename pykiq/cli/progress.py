"""How far something long is: a bar on standard error, where there is somebody to see it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from typing import TypeVar

import click

FRAMES = 200  # the bar is drawn that often at most, when it is known how long it will be

Item = TypeVar("Item")


def progress(items: Iterable[Item], length: int | None, label: str) -> Generator[Item]:
    """`items`, with a bar while they are gone through, if standard error is a terminal; None is an unknown length.

    Whoever goes through them closes this, as `count` does: what a Ctrl-C leaves open is kept by its traceback, and is
    drawn once more after the last word.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    steps = max(1, (length or 0) // FRAMES)  # each item drawn, a terminal takes longer than Redis
    with click.progressbar(
        items, length=length, label=label, file=sys.stderr, show_pos=True, update_min_steps=steps
    ) as bar:
        yield from bar


def matching(
    items: Iterable[Item], matches: Callable[[Item], bool], length: int | None, label: str | None
) -> Generator[Item]:
    """Those of `items` that match; with a `label` a bar shows how many have been looked at."""
    if label is None:
        yield from filter(matches, items)
        return
    with closing(progress(items, length, label)) as looked:
        yield from filter(matches, looked)


def count(items: Generator[object]) -> int:
    """Go through `items` for nothing but their number."""
    with closing(items):
        return sum(1 for _ in items)

"""How far something long is: a bar on standard error, where there is somebody to see it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

import click

FRAMES = 200  # the bar is drawn that often at most, when it is known how long it will be

Item = TypeVar("Item")


def progress(items: Iterable[Item], length: int | None, label: str) -> Iterator[Item]:
    """`items`, with a bar while they are gone through, if standard error is a terminal; None is an unknown length."""
    if not sys.stderr.isatty():
        yield from items
        return
    steps = max(1, (length or 0) // FRAMES)  # each item drawn, a terminal takes longer than Redis
    with click.progressbar(
        items, length=length, label=label, file=sys.stderr, show_pos=True, update_min_steps=steps
    ) as bar:
        yield from bar

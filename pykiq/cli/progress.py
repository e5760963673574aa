"""How far something long is: a bar on standard error, where there is somebody to see it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import click

Item = TypeVar("Item")
REDRAWN = 0.1  # seconds; for every item it would be megabytes, and slower than the work over a slow line


def progress(items: Iterable[Item], length: int | None, label: str) -> Iterator[Item]:
    """`items`, with a bar while they are gone through, if standard error is a terminal; None is an unknown length."""
    if not sys.stderr.isatty():
        yield from items
        return
    with click.progressbar(length=length, label=label, file=sys.stderr, show_pos=True) as bar:
        since, drawn = 0, time.monotonic()
        for item in items:
            yield item
            since += 1
            if time.monotonic() - drawn >= REDRAWN:
                bar.update(since)
                since, drawn = 0, time.monotonic()
        bar.update(since)

"""Acting on many jobs: asking first, and telling what became of them."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

import click

from pykiq.admin.changes import Change
from pykiq.errors import ConfigError


class Tally(NamedTuple):
    """How many jobs were dealt with, had gone before, and could not be: with each reason and how often it came."""

    done: int = 0
    gone: int = 0
    failed: int = 0
    reasons: tuple[tuple[str, int], ...] = ()


def confirm(question: Callable[[], str | None], *, yes: bool) -> bool:
    """Whether to go on. `question` is asked for only if it is needed; when it is None there is nothing to do.

    Raises ConfigError when there is nobody to ask.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigError("this asks before it changes anything, and standard input is no terminal; add --yes")
    text = question()
    return text is not None and click.confirm(text, err=True)


def tally(changes: Iterable[Change]) -> Tally:
    """Carry changes out and count what became of them."""
    done, gone, reasons = 0, 0, Counter[str]()
    for change in changes:
        if change.done:
            done += 1
        elif change.error is None:
            gone += 1
        else:
            reasons[str(change.error) or type(change.error).__name__] += 1
    return Tally(done, gone, reasons.total(), tuple(reasons.most_common(10)))


def report(counted: Tally, verb: str, *, as_json: bool) -> int:
    """Print a tally; the exit code: 1 when something could not be done."""
    if as_json:
        click.echo(json.dumps({**counted._asdict(), "reasons": dict(counted.reasons)}))
    else:
        parts = [f"{verb} {counted.done:,}"]
        parts += [f"{counted.gone:,} had gone already"] if counted.gone else []
        parts += [f"{counted.failed:,} could not be and stay"] if counted.failed else []
        click.echo(", ".join(parts))
        for reason, times in counted.reasons:
            click.echo(f"  {times:,} × {reason}", err=True)
    return 1 if counted.failed else 0

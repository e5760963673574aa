"""Acting on many jobs: asking first, and telling what became of them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import NamedTuple

import click

from pykiq.cli.output import printable, say, strict_json
from pykiq.errors import ConfigError

End = tuple[bool, Exception | None]
"""What became of one job: whether it was done, and why not; no reason when somebody else had dealt with it."""


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
    return text is not None and click.confirm(printable(text), err=True)


def tally(ends: Iterable[End], jobs: Iterator[object], verb: str) -> Tally:
    """Carry something out for `jobs` by going through `ends`, and count what became of them.

    When it breaks off in the middle, by Ctrl-C or because Redis is away, it tells how far it came.
    """
    done, gone, reasons = 0, 0, Counter[str]()
    try:
        for is_done, error in ends:
            if is_done:
                done += 1
            elif error is None:
                gone += 1
            else:
                reasons[str(error) or type(error).__name__] += 1
    except BaseException:
        if isinstance(jobs, Generator):
            jobs.close()  # the bar with it
        say(f"{verb} {done:,} or a few more before this:", err=True)
        raise
    return Tally(done, gone, reasons.total(), tuple(reasons.most_common(10)))


def report(counted: Tally, verb: str, *, as_json: bool) -> int:
    """Print a tally; the exit code: 1 when something could not be done."""
    if as_json:
        say(strict_json({**counted._asdict(), "reasons": dict(counted.reasons)}))
    else:
        parts = [f"{verb} {counted.done:,}"]
        parts += [f"{counted.gone:,} had gone already"] if counted.gone else []
        parts += [f"{counted.failed:,} could not be and stay"] if counted.failed else []
        say(", ".join(parts))
        for reason, times in counted.reasons:
            say(f"  {times:,} × {reason}", err=True)
    return 1 if counted.failed else 0

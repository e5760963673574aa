"""Which jobs a command is about: `--class`, `--queue`, `--error`, `--since`, `--match`. Pure, but for the flags."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from pykiq.admin import JobRecord
from pykiq.cli.times import since as moment_of
from pykiq.errors import ConfigError
from pykiq.wire import keys, payload
from pykiq.wire.glob import escaped, of_stars

Command = TypeVar("Command", bound=Callable[..., Any])

When = Callable[[JobRecord], "float | None"]
"""The moment of a job that `--since` is about, in epoch seconds."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What a job must be like; None is anything. `since` is in epoch seconds.

    `match` is text somewhere in the job's bytes. In all texts `*` stands for anything.
    """

    klass: str | None = None
    queue: str | None = None
    error: str | None = None
    since: float | None = None
    match: str | None = None

    def __bool__(self) -> bool:
        return self != Filter()

    def passes(self, job: JobRecord, when: When) -> bool:
        """Whether a job is meant. One that does not say when is not meant by any `since`."""
        return (
            (self.match is None or self._has(job))
            and (self.klass is None or self._is_of_class(job))
            and (self.queue is None or job.queue == self.queue)
            and (self.error is None or self._failed_so(job))
            and (self.since is None or (when(job) or 0.0) >= self.since)
        )

    def _has(self, job: JobRecord) -> bool:
        return of_stars(f"*{self.match}*").matches(job.raw)

    def _is_of_class(self, job: JobRecord) -> bool:
        wanted = (self.klass or "").removeprefix("::")
        literal = of_stars(wanted).literal
        if payload.is_never_escaped(literal) and literal not in job.raw and b"\\" not in job.raw:
            return False  # without parsing it, which takes four fifths of the time
        names = (job.display_class, (job.klass or "").removeprefix("::"), str(job["wrapped"] or ""))
        return any(_like(name, wanted) for name in names if name)

    def _failed_so(self, job: JobRecord) -> bool:
        text = f"{job.error_class}: {job.error_message or ''}".lower()
        return job.error_class is not None and _like(text, f"*{(self.error or '').lower()}*")

    @property
    def pattern(self) -> str:
        """`match` as Redis takes it."""
        return f"*{'*'.join(map(escaped, (self.match or '').split('*')))}*"


def filter_options(*, error: bool = True) -> Callable[[Command], Command]:
    """The flags of a filter, for a command that takes its parameters as keywords; `chosen` reads them."""
    options = [
        click.option("--class", "klass", metavar="CLASS", help="Only jobs of this class; * stands for anything."),
        click.option("--queue", "of_queue", metavar="NAME", help="Only jobs of this queue."),
        click.option("--since", metavar="WHEN", help="Only jobs since then: 15m, 2h, 3d ago, or a time."),
        click.option("--match", metavar="TEXT", help="Only jobs with this text anywhere in them; * for anything."),
    ]
    if error:
        options.append(click.option("--error", metavar="TEXT", help="Only jobs whose error has this text."))

    def decorate(command: Command) -> Command:
        for option in options:
            command = option(command)
        return command

    return decorate


_TEXTS = {"klass": "--class", "of_queue": "--queue", "error": "--error", "match": "--match"}


def _like(text: str, pattern: str) -> bool:
    """Whether the text is what the pattern says, in which only `*` is special."""
    return of_stars(pattern).matches(keys.raw(text))


def chosen(parameters: dict[str, Any]) -> Filter:
    """The filter of a command's parameters.

    Raises ConfigError for a `--since` that is no time, and for an empty text: it is what is left of a shell's variable
    that is not set, and would mean every job.
    """
    for name, flag in _TEXTS.items():
        if parameters.get(name) == "":
            raise ConfigError(f'{flag} is ""; expected what the jobs have; leave it out for any')
    since = parameters.get("since")
    return Filter(
        parameters.get("klass"),
        parameters.get("of_queue"),
        parameters.get("error"),
        None if since is None else moment_of(since, time.time()),
        parameters.get("match"),
    )

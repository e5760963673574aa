"""The words of a command about jobs: an action or none, and the JIDs of the jobs it is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import click

from pykiq.admin import JobRecord
from pykiq.cli import showing
from pykiq.cli.filters import Filter
from pykiq.config.settings import did_you_mean
from pykiq.errors import ConfigError, PykiqError

Job = TypeVar("Job", bound=JobRecord, covariant=True)

# Each action, and how it is told of: before and after.
VERBS: Mapping[str, tuple[str, str]] = {
    "retry": ("push now", "pushed"),
    "kill": ("kill", "killed"),
    "delete": ("delete", "deleted"),
    "reschedule": ("reschedule", "rescheduled"),
    "clear": ("delete", "deleted"),
}
FOR_ACTIONS = {"everything": "--all", "yes": "--yes", "delay": "--in", "moment": "--at"}


class Place(Protocol[Job]):
    """A set or a queue."""

    @property
    def name(self) -> str: ...

    def find_job(self, jid: str) -> Job | None: ...


def parted(
    place: str, actions: Sequence[str], words: Sequence[str], wanted: Filter, parameters: Mapping[str, Any]
) -> tuple[str | None, Sequence[str]]:
    """The action that `words` begin with, or None, and the JIDs.

    Raises ConfigError for an action that there is not here, and for what would have no effect without one: whoever
    writes `--yes` wants more than to look.
    """
    if words and words[0] in actions:
        return words[0], words[1:]
    expected = f"{', '.join(actions[:-1])} or {actions[-1]}"
    if words and words[0] in VERBS:
        raise ConfigError(f"{words[0]} is no action on {place}; expected {expected}")
    for name, flag in FOR_ACTIONS.items():
        if parameters.get(name):
            near = did_you_mean(words[0], actions) if words else ""
            raise ConfigError(f"{flag} is given and no action on {place}; expected {expected}{near}")
    if words and wanted:
        raise ConfigError("JIDs and filters are both given; expected one of them")
    return None, words


def found(place: Place[Job], jids: Iterable[str]) -> list[Job]:
    """The jobs of these JIDs. Raises PykiqError when one is not there."""
    looked_up = [(jid, place.find_job(jid)) for jid in dict.fromkeys(jids)]
    missing = [jid for jid, job in looked_up if job is None]
    if missing:
        raise PykiqError(f"no job {', '.join(missing)} in {place.name}; nothing was changed")
    return [job for _, job in looked_up if job is not None]


def show_jobs(place: Place[Job], actions: Sequence[str], jids: Iterable[str], *, as_json: bool) -> int:
    """Print all that these jobs say; the exit code: 1 when one is not there."""
    missing = 0
    for jid in jids:
        job = place.find_job(jid)
        if job is None:
            click.echo(f"pykiq: no job {jid} in {place.name}{did_you_mean(jid, actions)}", err=True)
            missing += 1
        else:
            click.echo(showing.line(job) if as_json else showing.details(job))
    return 1 if missing else 0

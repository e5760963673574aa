"""The words of a command about jobs: an action or none, and the JIDs of the jobs it is about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from pykiq.admin import JobRecord
from pykiq.cli import showing
from pykiq.cli.filters import Filter
from pykiq.cli.output import say
from pykiq.config.settings import did_you_mean
from pykiq.errors import ConfigError, PykiqError

Job = TypeVar("Job", bound=JobRecord)

# Each action, and how it is told of: before and after.
VERBS: Mapping[str, tuple[str, str]] = {
    "retry": ("push now", "pushed"),
    "kill": ("kill", "killed"),
    "delete": ("delete", "deleted"),
    "reschedule": ("reschedule", "rescheduled"),
    "clear": ("delete", "deleted"),
}
FEW = 5  # JIDs that are looked up one by one; each time Redis goes through the whole set
FOR_ACTIONS = {"everything": "--all", "yes": "--yes", "delay": "--in", "moment": "--at"}


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


class Place(NamedTuple, Generic[Job]):
    """A set or a queue: its name, the jobs in it, and how one of them is looked up."""

    name: str
    jobs: Iterable[Job]
    find: Callable[[str], Job | None]

    def of(self, jids: Iterable[str]) -> dict[str, Job | None]:
        """The jobs of these JIDs, None for one that is not there: looked up if they are few, else in one walk."""
        found: dict[str, Job | None] = dict.fromkeys(jids)
        if len(found) <= FEW:
            return {jid: self.find(jid) for jid in found}
        missing = set(found)
        for job in self.jobs:
            if job.jid in missing:
                missing.discard(job.jid)
                found[job.jid] = job
                if not missing:
                    break
        return found

    def all_of(self, jids: Iterable[str]) -> list[Job]:
        """The same without a None. Raises PykiqError when one is not there."""
        found = self.of(jids)
        missing = [jid for jid, job in found.items() if job is None]
        if missing:
            few = f"{', '.join(missing[:FEW])}{' and others' if len(missing) > FEW else ''}"
            raise PykiqError(f"no job {few} in {self.name}; nothing was changed")
        return [job for job in found.values() if job is not None]


def show_jobs(place: Place[Job], actions: Sequence[str], jids: Iterable[str], *, as_json: bool) -> int:
    """Print all that these jobs say; the exit code: 1 when one is not there."""
    missing = 0
    for jid, job in place.of(jids).items():
        if job is None:
            say(f"pykiq: no job {jid} in {place.name}{did_you_mean(jid, actions)}", err=True)
            missing += 1
        else:
            say(showing.line(job) if as_json else showing.details(job))
    return 1 if missing else 0

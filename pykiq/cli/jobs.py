"""`pykiq retries`, `pykiq scheduled`, `pykiq dead`: looking at the sorted sets, and acting on what is in them."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import click

from pykiq.admin import DeadSet, JobRecord, JobSet, RetrySet, ScheduledSet, SortedEntry
from pykiq.admin.changes import Change, once
from pykiq.cli import showing
from pykiq.cli.bulk import Tally, confirm, report, tally
from pykiq.cli.filters import Command, Filter, chosen, filter_options
from pykiq.cli.options import HELP, connection_options, limit_option, loaded
from pykiq.cli.output import say
from pykiq.cli.progress import count, matching
from pykiq.cli.table import Column
from pykiq.cli.times import when
from pykiq.cli.words import VERBS, Place, parted, show_jobs
from pykiq.client.sync import Client
from pykiq.errors import ConfigError
from pykiq.store.connected import connected
from pykiq.store.kinds import require


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the sets as its command knows it. `since` is the moment of a job that `--since` is about."""

    make: Callable[[Client], JobSet]
    actions: tuple[str, ...]
    columns: tuple[Column, ...]
    row: Callable[[SortedEntry, float], Sequence[str]]
    since: Callable[[JobRecord], float | None]
    soonest_first: bool
    empty: str


def _set_command(name: str, kind: Kind, help_text: str) -> click.Command:
    @click.command(name, context_settings=HELP, help=help_text)
    @click.argument("words", nargs=-1, metavar=f"[{'|'.join(kind.actions)}] [JID]...")
    @filter_options()
    @click.option("--all", "everything", is_flag=True, help="Act on every job of the set.")
    @_times(kind)
    @click.option("--yes", "-y", is_flag=True, help="Do not ask.")
    @limit_option("Show, or act on, at most so many.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
    @connection_options
    def command(words: tuple[str, ...], **parameters: Any) -> int:
        wanted = chosen(parameters)
        action, jids = parted(name, kind.actions, words, wanted, parameters)
        config = loaded(parameters).config
        with connected(config) as connection, Client(config, redis=connection) as client:
            jobs = kind.make(client)
            require(connection, jobs.name, "zset")
            if action is not None:
                return _act(kind, jobs, action, jids, wanted, parameters)
            if jids:
                return show_jobs(_place(jobs), kind.actions, jids, as_json=parameters["as_json"])
            now = time.time()
            label = "looking" if wanted and not parameters["as_json"] else None
            with closing(_filtered(kind, jobs, wanted, label)) as entries:
                showing.show(
                    *(entries, kind.columns, lambda entry: kind.row(entry, now)),
                    limit=parameters["limit"],
                    as_json=parameters["as_json"],
                    empty=kind.empty if not wanted else "nothing matches",
                )
        return 0

    return command


def _times(kind: Kind) -> Callable[[Command], Command]:
    """The flags of `reschedule`, where there is one."""

    def decorate(command: Command) -> Command:
        if "reschedule" in kind.actions:
            for name, parameter, metavar, help_text in (
                ("--at", "moment", "TIME", "For reschedule: due then; epoch seconds or ISO 8601."),
                ("--in", "delay", "LENGTH", "For reschedule: due so many seconds from now, or 15m, 2h, 3d."),
            ):
                command = click.option(name, parameter, metavar=metavar, help=help_text)(command)
        return command

    return decorate


def _filtered(kind: Kind, jobs: JobSet, wanted: Filter, label: str | None) -> Generator[SortedEntry]:
    """The entries that are meant, the most interesting first; looked up by Redis when a text is asked for.

    With a `label` there is a bar that shows how many have been looked at.
    """
    source: Iterable[SortedEntry] = reversed(jobs) if kind.soonest_first else jobs
    if wanted.match is not None:
        source = jobs.scan(wanted.pattern, 1000)
    return matching(source, lambda entry: wanted.passes(entry, kind.since), jobs.size, label)


def _place(jobs: JobSet) -> Place[SortedEntry]:
    return Place(jobs.name, jobs, jobs.find_job)


def _act(
    kind: Kind, jobs: JobSet, action: str, jids: Sequence[str], wanted: Filter, parameters: Mapping[str, Any]
) -> int:
    at = _moment(action, parameters)
    everything, limit = parameters["everything"], parameters["limit"]
    if action == "clear" and (jids or wanted or limit):
        raise ConfigError("clear empties the whole set; use delete with JIDs, a filter or --limit")
    if sum((bool(jids), bool(wanted), everything or action == "clear")) != 1:
        raise ConfigError(f"{action} which jobs? Give JIDs, or filters such as --class, or --all")
    before, after = VERBS[action]
    if jids:
        entries: Iterator[SortedEntry] = iter(_place(jobs).all_of(jids))
    else:
        size = jobs.size

        def meant(label: str) -> Generator[SortedEntry]:
            with closing(_filtered(kind, jobs, wanted, label)) as entries:
                yield from islice(entries, limit)

        def question() -> str | None:
            found = count(meant("looking")) if wanted else min(size, limit or size)
            if found == 0:
                say("nothing matches", err=True)
            lost = _too_many(jobs, found) if action == "kill" else ""
            return f"{before} {found:,} of {size:,} jobs in {jobs.name}?{lost}" if found else None

        if not confirm(question, yes=parameters["yes"]):
            return 0
        if action == "clear":
            jobs.clear()
            return report(Tally(done=size), after, as_json=parameters["as_json"])
        entries = meant(before)
    ends = ((change.done, change.error) for change in _changes(jobs, action, entries, at))
    return report(tally(ends, entries, after), after, as_json=parameters["as_json"])


def _too_many(jobs: JobSet, count: int) -> str:
    """What a question has to add when the dead set does not hold so many more."""
    most, there = jobs.access.config.dead_max_jobs, DeadSet(jobs.access.client).size
    return (
        f" The dead set keeps {most:,} and has {there:,}: the oldest will be dropped." if count + there > most else ""
    )


def _moment(action: str, parameters: Mapping[str, Any]) -> float:
    at = when(parameters.get("delay"), parameters.get("moment"), time.time())
    if action != "reschedule":
        if at is not None:
            raise ConfigError(f"--in and --at are for reschedule; {action} happens now")
        return 0.0
    if at is None:
        raise ConfigError("reschedule to when? Give --in LENGTH, such as 15m, or --at TIME")
    return at


def _changes(jobs: JobSet, action: str, entries: Iterable[SortedEntry], at: float) -> Iterator[Change]:
    match action:
        case "retry":
            return jobs.retry_each(once(entries))
        case "kill":
            return jobs.kill_each(entries)
        case "reschedule":
            # One that is moved ahead of the walk is met again.
            return jobs.reschedule_each((entry for entry in entries if entry.score != at), at)
        case _:
            return jobs.delete_each(entries)


def _seconds(job: JobRecord, *names: str) -> float | None:
    moments = (getattr(job, name) for name in names)
    return next((moment.timestamp() for moment in moments if moment is not None), None)


_WHAT = (Column("jid"), Column("queue", soft=True), Column("class", soft=True, tail=True), Column("args", soft=True))
_ERROR = Column("error", soft=True)


def _what(entry: SortedEntry) -> list[str]:
    return [entry.jid or "?", entry.queue or "", entry.display_class, showing.args(entry)]


RETRIES = Kind(
    RetrySet,
    ("retry", "kill", "delete", "reschedule", "clear"),
    (Column("due"), *_WHAT, Column("retries", right=True), _ERROR),
    lambda entry, now: [
        showing.ago(entry.score, now),
        *_what(entry),
        showing.count(entry["retry_count"]),
        showing.error(entry),
    ],
    lambda job: _seconds(job, "retried_at", "failed_at"),
    soonest_first=True,
    empty="no retries",
)
SCHEDULED = Kind(
    ScheduledSet,
    ("retry", "kill", "delete", "reschedule", "clear"),
    (Column("due"), *_WHAT),
    lambda entry, now: [showing.ago(entry.score, now), *_what(entry)],
    lambda job: _seconds(job, "created_at"),
    soonest_first=True,
    empty="nothing is scheduled",
)
DEAD = Kind(
    DeadSet,
    ("retry", "delete", "clear"),
    (Column("died"), *_WHAT, _ERROR),
    lambda entry, now: [showing.ago(entry.score, now), *_what(entry), showing.error(entry)],
    lambda job: job.score if isinstance(job, SortedEntry) else None,
    soonest_first=False,
    empty="nothing is dead",
)

retries = _set_command(
    "retries",
    RETRIES,
    "Show the jobs that will be tried again, the next one first; or retry, kill, delete, reschedule or clear them."
    " --since is about their last failure.",
)
scheduled = _set_command(
    "scheduled",
    SCHEDULED,
    "Show the jobs that are due later, the next one first; or push them now (retry), kill, delete, reschedule or clear"
    " them. --since is about when they were made.",
)
dead = _set_command(
    "dead",
    DEAD,
    "Show the jobs that will not be tried again, the latest first; or retry, delete or clear them. --since is about"
    " their death.",
)

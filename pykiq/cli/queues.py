"""`pykiq queues`, `pykiq pause`, `pykiq resume`: the queues, what waits in them, and letting nothing be taken."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from typing import Any

import click

from pykiq.admin import JobRecord, ProcessSet, Queue, Stats
from pykiq.cli import showing
from pykiq.cli.bulk import End, Tally, confirm, report, tally
from pykiq.cli.filters import Filter, chosen, filter_options
from pykiq.cli.options import HELP, connection_options, filled, limit_option, loaded
from pykiq.cli.output import say, strict_json
from pykiq.cli.progress import matching, progress
from pykiq.cli.table import Column, counted, output_width, span, table
from pykiq.cli.words import Place, parted, show_jobs
from pykiq.client.sync import Client
from pykiq.config.settings import did_you_mean
from pykiq.errors import ConfigError, PykiqError
from pykiq.store import queues as store
from pykiq.store.connected import connected
from pykiq.store.kinds import require
from pykiq.store.stats import QueueStats

ACTIONS = ("delete", "clear")
_COLUMNS = (Column("queue", soft=True), Column("size", right=True), Column("latency", right=True), Column(""))
_JOB_COLUMNS = (
    Column("waiting", right=True),
    Column("jid"),
    Column("class", soft=True, tail=True),
    Column("args", soft=True),
)


@click.command(context_settings=HELP)
@click.argument("name", required=False, metavar="[QUEUE")
@click.argument("words", nargs=-1, metavar="[delete|clear] [JID]...]")
@filter_options(error=False)
@click.option("--all", "everything", is_flag=True, help="Delete every job of the queue.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@limit_option("Show, or delete, at most so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
@connection_options
def queues(name: str | None, words: tuple[str, ...], **parameters: Any) -> int:
    """Show the queues; or the jobs of one QUEUE, the newest first; or delete jobs of it, or clear it.

    --since is about when a job was enqueued.
    """
    wanted = chosen(parameters)
    as_json = parameters["as_json"]
    config = loaded(parameters).config
    with connected(config) as connection, Client(config, redis=connection) as client:
        if name is None:
            if wanted or parameters["everything"] or parameters["yes"]:
                raise ConfigError("that is about jobs: name a queue, as in `pykiq queues default --class HardJob`")
            _show_queues(Stats(client).queue_summaries[: parameters["limit"]], as_json=as_json)
            return 0
        queue = Queue(name, client)
        require(connection, store.raw_key(name), "list")
        if not queue.size and name not in store.names(connection):
            near = did_you_mean(name, store.names(connection))
            raise PykiqError(f"there is no queue {name}{near or '; `pykiq queues` lists them'}")
        action, jids = parted("a queue", ACTIONS, words, wanted, parameters)
        if action is not None:
            return _act(queue, action, jids, wanted, parameters)
        if not jids:
            label = "looking" if wanted and not as_json else None
            with closing(matching(queue, lambda job: wanted.passes(job, _since), queue.size, label)) as jobs:
                showing.show(
                    *(jobs, _JOB_COLUMNS, _row),
                    limit=parameters["limit"],
                    as_json=as_json,
                    empty="nothing matches" if wanted else "no jobs",
                )
            return 0
        return show_jobs(_place(queue), ACTIONS, jids, as_json=as_json)


@click.command(context_settings=HELP)
@click.argument("names", nargs=-1, required=True, metavar="QUEUE...")
@connection_options
def pause(names: tuple[str, ...], **parameters: Any) -> None:
    """Let no more jobs be taken from queues; those that run go on."""
    config = loaded(parameters).config
    with connected(config) as connection, Client(config, redis=connection) as client:
        processes, known = list(ProcessSet(client)), store.names(connection)
        for name in filled(names, "QUEUE"):
            say(f"{name}: {'paused' if Queue(name, client).pause() else 'was paused already'}")
            if name not in known and not any(name in one.queues for one in processes):
                say(f"  nobody pushes to it or serves it yet{did_you_mean(name, known)}", err=True)
            heedless = [
                one.identity for one in processes if name in one.queues and not (one.version or "").startswith("pykiq")
            ]
            if heedless:
                say(
                    f"  {counted(len(heedless), 'Ruby process')} on it: only Sidekiq Pro heeds this, free Sidekiq not",
                    err=True,
                )


@click.command(context_settings=HELP)
@click.argument("names", nargs=-1, required=True, metavar="QUEUE...")
@connection_options
def resume(names: tuple[str, ...], **parameters: Any) -> None:
    """Let jobs be taken from paused queues again."""
    config = loaded(parameters).config
    with connected(config) as connection, Client(config, redis=connection) as client:
        for name in filled(names, "QUEUE"):
            say(f"{name}: {'resumed' if Queue(name, client).unpause() else 'was not paused'}")


def queue_table(summaries: Sequence[QueueStats], width: int | None) -> str:
    """The queues as a table; the last column says which are paused."""
    rows = [
        [one.name, f"{one.size:,}", span(one.latency) if one.size else "", "paused" if one.paused else ""]
        for one in summaries
    ]
    return table(_COLUMNS, rows, width)


def _show_queues(summaries: Sequence[QueueStats], *, as_json: bool) -> None:
    if as_json:
        for one in summaries:
            told = {"name": one.name, "size": one.size, "latency": one.latency, "paused": one.paused}
            say(strict_json(told))
    elif summaries:
        say(queue_table(summaries, output_width()))
    else:
        say("no queues", err=True)


def _place(queue: Queue) -> Place[JobRecord]:
    return Place(queue.name, queue, queue.find_job)


def _act(queue: Queue, action: str, jids: Sequence[str], wanted: Filter, parameters: Mapping[str, Any]) -> int:
    everything, limit, as_json = parameters["everything"], parameters["limit"], parameters["as_json"]
    size = queue.size
    if action == "clear":
        if wanted or jids or limit:
            raise ConfigError("clear empties the whole queue; use delete with JIDs, a filter or --limit")
        if confirm(lambda: f"delete all {size:,} jobs of {queue.name}?", yes=parameters["yes"]):
            queue.clear()
            report(Tally(done=size), "deleted", as_json=as_json)
        return 0
    if sum((bool(jids), bool(wanted), everything)) != 1:
        raise ConfigError("delete which jobs? Give JIDs, or filters such as --class, or --all")
    if jids:
        removed = queue.delete_jobs(_place(queue).all_of(jids))
        return report(Tally(sum(removed), len(removed) - sum(removed)), "deleted", as_json=as_json)

    def is_meant(job: JobRecord) -> bool:
        return wanted.passes(job, _since)

    def question() -> str | None:
        with closing(matching(queue, is_meant, size, "looking")) as jobs:
            found = sum(1 for _ in islice(jobs, limit))
        if found == 0:
            say("nothing matches", err=True)
        return f"delete {found:,} of {size:,} jobs of {queue.name}?" if found else None

    if not confirm(question, yes=parameters["yes"]):
        return 0
    with closing(queue.sifted(is_meant, limit=limit)) as sifted:  # whatever ends it, what it has on the side goes back
        looked = progress(sifted, size, "delete")
        ends: Iterator[End] = ((True, None) for removed in looked if removed)
        return report(tally(ends, looked, "deleted"), "deleted", as_json=as_json)


def _since(job: JobRecord) -> float | None:
    moment = job.enqueued_at or job.created_at
    return moment.timestamp() if moment else None


def _row(job: JobRecord) -> list[str]:
    moment = _since(job)
    waiting = "" if moment is None else span(max(0.0, time.time() - moment))
    return [waiting, job.jid or "?", job.display_class, showing.args(job)]

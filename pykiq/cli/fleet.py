"""`pykiq processes`, `busy`, `quiet`, `stop`: the processes of the fleet, Ruby's too, and what they run now."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import click

from pykiq.admin import Process, ProcessSet, Work, WorkSet
from pykiq.cli import showing
from pykiq.cli.filters import Filter, chosen, filter_options
from pykiq.cli.options import HELP, connection_options, filled, loaded
from pykiq.cli.output import say, strict_json
from pykiq.cli.table import Column, counted, output_width, span, table
from pykiq.client.sync import Client
from pykiq.errors import ConfigError, PykiqError
from pykiq.store.connected import connected
from pykiq.store.kinds import require
from pykiq.wire import keys

_PROCESSES = (
    *(Column("process", soft=True), Column("version"), Column("tag", soft=True), Column("queues", soft=True)),
    *(Column("busy", right=True), Column("memory", right=True), Column("started", right=True)),
    *(Column("beat", right=True), Column("")),
)
_BUSY = (
    *(Column("running", right=True), Column("process", soft=True), Column("queue", soft=True), Column("jid")),
    *(Column("class", soft=True, tail=True), Column("args", soft=True)),
)


@click.command(context_settings=HELP)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
@connection_options
def processes(as_json: bool, **parameters: Any) -> None:
    """Show the processes of the fleet, Ruby's and Python's."""
    config = loaded(parameters).config
    with connected(config) as connection, Client(config, redis=connection) as client:
        require(connection, keys.PROCESSES, "set")
        found = list(ProcessSet(client))
    if as_json:
        for process in found:
            say(_process_line(process))
    elif found:
        say(process_table(found, time.time(), output_width()))
    else:
        say("no processes", err=True)


@click.command(context_settings=HELP)
@filter_options(error=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
@connection_options
def busy(as_json: bool, **parameters: Any) -> None:
    """Show the jobs that run now, the longest running first. --since is about when they started."""
    wanted = chosen(parameters)
    config = loaded(parameters).config
    with connected(config) as connection, Client(config, redis=connection) as client:
        require(connection, keys.PROCESSES, "set")
        found = [work for work in WorkSet(client) if _is_meant(work, wanted)]
        told = told_by(list(ProcessSet(client)), time.time())
    if as_json:
        for work in found:
            say(_work_line(work))
    elif found:
        say(work_table(found, time.time(), output_width()))
    else:
        say("nothing matches" if wanted else "nothing runs", err=True)
    if told and not as_json:
        say(told, err=True)


@click.command(context_settings=HELP)
@click.argument("identities", nargs=-1, metavar="[IDENTITY]...")
@click.option("--all", "everything", is_flag=True, help="Every process of the fleet, Ruby's too.")
@connection_options
def quiet(identities: tuple[str, ...], everything: bool, **parameters: Any) -> int:
    """Let processes take no more jobs. IDENTITY is as `pykiq processes` shows it, or its beginning."""
    return _signal(identities, everything, parameters, "quiet")


@click.command(context_settings=HELP)
@click.argument("identities", nargs=-1, metavar="[IDENTITY]...")
@click.option("--all", "everything", is_flag=True, help="Every process of the fleet, Ruby's too.")
@connection_options
def stop(identities: tuple[str, ...], everything: bool, **parameters: Any) -> int:
    """Let processes stop. IDENTITY is as `pykiq processes` shows it, or its beginning."""
    return _signal(identities, everything, parameters, "stop")


def _signal(identities: Sequence[str], everything: bool, parameters: dict[str, Any], verb: str) -> int:
    if everything == bool(identities):
        raise ConfigError(f"{verb} which processes? Give identities or --all; `pykiq processes` lists them")
    config = loaded(parameters).config
    failed = 0
    with connected(config) as connection, Client(config, redis=connection) as client:
        known = list(ProcessSet(client))
        for process in known if everything else [_found(known, one) for one in filled(identities, "IDENTITY")]:
            try:
                process.quiet() if verb == "quiet" else process.stop()
                say(f"{process.identity}: told to {verb}, within 10 s")
            except PykiqError as error:
                failed += 1
                say(f"pykiq: {error}", err=True)
    if everything and not known:
        say("no processes", err=True)
    return 1 if failed else 0


def _found(known: Sequence[Process], identity: str) -> Process:
    """The one process whose identity begins like that. Raises PykiqError."""
    exact = [process for process in known if process.identity == identity]
    found = exact or [process for process in known if process.identity.startswith(identity)]
    if len(found) == 1:
        return found[0]
    what = "no process is called" if not found else f"{len(found)} processes begin with"
    raise PykiqError(f"{what} {identity}; `pykiq processes` lists them; nothing was changed")


def process_table(found: Sequence[Process], now: float, width: int | None) -> str:
    """The processes as a table; the last column says which are quiet."""
    rows = [
        [
            process.identity,
            process.version or "",
            process.tag,
            ",".join(process.queues),
            f"{process.busy}/{process.concurrency}" if process.concurrency else str(process.busy),
            f"{process.rss / 1024:,.0f} MB",
            showing.ago(process.started_at.timestamp(), now) if process.started_at else "",
            showing.ago(process.beat.timestamp(), now) if process.beat else "",
            "quiet" if process.stopping else "",
        ]
        for process in found
    ]
    return table(_PROCESSES, rows, width)


def work_table(found: Sequence[Work], now: float, width: int | None) -> str:
    """Running jobs as a table."""
    rows = [
        [
            showing.ago(_started(work), now),
            work.process_id,
            work.queue,
            work.job.jid or "?",
            work.job.display_class,
            showing.args(work.job),
        ]
        for work in found
    ]
    return table(_BUSY, rows, width)


def told_by(processes: Sequence[Process], now: float) -> str:
    """How old what is known of running jobs is: when the processes told of them. Empty without a process."""
    ages = sorted(max(0.0, now - process.beat.timestamp()) for process in processes if process.beat)
    if not ages:
        return ""
    youngest, oldest = span(ages[0]), span(ages[-1])
    when = f"{oldest} ago" if youngest == oldest else f"{youngest} to {oldest} ago"
    return f"told by {counted(len(ages), 'process')} {when}"


def _is_meant(work: Work, wanted: Filter) -> bool:
    return wanted.passes(work.job, lambda _: _started(work))


def _started(work: Work) -> float | None:
    return work.run_at.timestamp() if work.run_at else None


def _process_line(process: Process) -> str:
    """Everything a process says, as one line of JSON."""
    seen = process.seen._asdict()
    info = dict(seen.pop("info"))
    return strict_json({**info, **seen})


def _work_line(work: Work) -> str:
    head = {
        "process": work.process_id,
        "thread": work.thread_id,
        "run_at": work.run_at.isoformat() if work.run_at else None,
        "told_at": work.told_at.isoformat() if work.told_at else None,
    }
    return f"{strict_json(head)[:-1]}, {showing.line(work.job)[1:]}"

"""`pykiq job JID`: where a job is, and everything about it."""

from __future__ import annotations

import math
import time
from typing import Any

import click

from pykiq.admin import SortedEntry
from pykiq.admin.lookup import FoundJob, Lookup
from pykiq.cli import backtrace, showing
from pykiq.cli.options import HELP, connection_options, filled, loaded
from pykiq.cli.output import say, strict_json
from pykiq.cli.progress import count, progress
from pykiq.cli.table import span
from pykiq.client.sync import Client
from pykiq.config import Config
from pykiq.store.connected import connected
from pykiq.store.leases import AGAIN, renewal
from pykiq.wire import payload
from pykiq.wire.failure import retry_limit

LATE = 1.0  # seconds that a renewal may come late before its process counts as silent


@click.command(context_settings=HELP)
@click.argument("jids", nargs=-1, required=True, metavar="JID...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
@connection_options
def job(jids: tuple[str, ...], as_json: bool, **parameters: Any) -> int:
    """Find a job, wherever it is, and show all about it.

    JID is a job's, or the job_id of an ActiveJob. Looks through queues, sets, and what processes hold and run.
    """
    config = loaded(parameters).config
    missing = 0
    with connected(config) as connection, Client(config, redis=connection) as client:
        for number, jid in enumerate(filled(jids, "JID")):
            lookup = Lookup(jid, client)
            count(progress(lookup.steps(), lookup.length(), "looking"))
            found = lookup.found()
            if not found:
                say(f"pykiq: no job {jid} waits, runs, is scheduled, will be retried or is dead", err=True)
                missing += 1
            for place, one in enumerate(found):
                if as_json:
                    say(_line(one))
                else:
                    say(("\n" if number or place else "") + shown(one, config, time.time()))
    return 1 if missing else 0


def shown(found: FoundJob, config: Config, now: float) -> str:
    """One place where it is, and everything that it says there, for people."""
    above = [("state", state(found, config, now))]
    record = found.job
    limit = retry_limit(record.item, default_retry=True, max_retries=config.max_retries)
    tried = payload.retry_count(record.item)
    above.append(("retries", "none" if limit is None else f"{showing.count(tried)} of {showing.count(limit)}"))
    return showing.details(record, above, backtrace.folded(record.error_backtrace or []))


def state(found: FoundJob, config: Config, now: float) -> str:
    """Where a job is, in a few words."""
    entry = found.job
    if isinstance(entry, SortedEntry):
        told = {"schedule": "scheduled, due", "retry": "will be retried,", "dead": "dead, for"}[found.state]
        return f"{told} {showing.ago(entry.score, now)}"
    if found.state == "queue":
        return f"waits in the queue {entry.queue} for {span(entry.latency)}"
    began = f", since {showing.moment(found.work.run_at, now)}" if found.work and found.work.run_at else ""
    if not found.is_alive:
        return f"in flight at {found.process_id}, which is gone: it is about to be taken over{began}"
    silent = _silent(found, config)
    if found.work is None:
        return f"in flight at {found.process_id}, claimed from {entry.queue}: not known to have begun{silent}"
    return f"runs at {found.process_id}, thread {found.work.thread_id}{began}{silent}"


def _silent(found: FoundJob, config: Config) -> str:
    """What is known of a pykiq process that may have died a moment ago; nothing where it was heard of just now."""
    if found.lease_left is None or config.lease_ttl - found.lease_left < renewal(config.lease_ttl) + LATE:
        return ""
    silent, taken = config.lease_ttl - found.lease_left, found.lease_left + config.sweep_interval + AGAIN
    return (
        f"; its process has not been heard of for {span(silent)}: if it has ended,"
        f" the job is taken over within {span(math.ceil(taken))}"
    )


def _line(found: FoundJob) -> str:
    head = {
        "state": found.state,
        "process": found.process_id,
        "process_alive": found.is_alive if found.process_id else None,
        "lease_left": found.lease_left,
        "thread": found.work.thread_id if found.work else None,
        "run_at": found.work.run_at.isoformat() if found.work and found.work.run_at else None,
        "backtrace": found.job.error_backtrace,
    }
    return f"{strict_json(head)[:-1]}, {showing.line(found.job)[1:]}"

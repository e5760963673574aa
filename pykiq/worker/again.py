"""An ActiveJob that a rescue has dealt with: enqueued again as a new Sidekiq job, or over (WIRE.md §15.4)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pykiq.client.base import new_jid
from pykiq.client.build import finish
from pykiq.config import Config
from pykiq.middleware.chain import client_middleware
from pykiq.records import Claimed, Later, Outcome
from pykiq.wire import activejob, expiry, keys, payload
from pykiq.wire.dialect import SEVEN, for_payload
from pykiq.wire.exactjson import dumps

if TYPE_CHECKING:
    from pykiq.jobs.activejob import ActiveJob, Verdict

OF_ONE_EXECUTION = frozenset({
    "jid", "created_at", "enqueued_at", "at", "retry_count", "failed_at", "retried_at", "error_class", "error_message",
    "error_backtrace",
})  # fmt: skip
"""What the new job does not take over. The options of its class it does: they may be known to Ruby alone."""


def outcome(done: Outcome, job: ActiveJob, verdict: Verdict, config: Config) -> Outcome:
    """`done`, with what is written instead. It counts as done, as in Ruby, with the error for the log.

    Raises what a client middleware raises: they run as for any push.
    """
    failure = verdict.failure
    told = done._replace(
        error_class=None if failure is None else failure.error_class,
        error_message=None if failure is None else failure.message,
        discarded=verdict.at is None,
    )
    if verdict.at is None:
        return told
    write = _again(done.claimed, job, verdict, verdict.at, config)
    return told._replace(discarded=True) if write is None else told._replace(write=write)


def _again(claimed: Claimed, job: ActiveJob, verdict: Verdict, at: float, config: Config) -> Later | None:
    """The entry in `schedule`, also of one due at once: the poller is told. None when a middleware stops it."""
    old = payload.parse(claimed.raw)
    now = time.time()
    dialect = for_payload(old, SEVEN, config.wire)
    data = activejob.again(
        activejob.job_data(old) or {},
        jid=str(old.get("jid") or ""),
        executions=job.executions,
        exception_executions=job.exception_executions,
        queue=verdict.queue or job.queue_name or claimed.queue,
        priority=job.priority if verdict.priority is None else verdict.priority,
        now=now,
        at=at,
    )
    new: dict[str, Any] = {key: value for key, value in old.items() if key not in OF_ONE_EXECUTION}
    if "expires_in" in new:
        new.pop("expiry", None)  # to Rails it is another push
    new |= {"queue": data["queue_name"], "args": [data], "at": at}
    new |= {"jid": new_jid(), "created_at": dialect.stamp(now)}
    passed = finish(new, chain=client_middleware, strict=False)  # its arguments came from a queue, as they are
    if passed is None:
        return None
    wanted = passed.pop("at", None)  # a middleware that takes it away wants the job now
    at = now if wanted is None else wanted
    expiry.stamp(passed, max(at, now))
    if dialect.strips_enqueued_at:
        passed.pop("enqueued_at", None)
    return Later(keys.SCHEDULE, at, dumps(passed, dialect))

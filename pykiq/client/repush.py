"""A job that leaves a sorted set for its queue: what it is pushed as, by the rules of Ruby's re-push (WIRE.md §9).

The poller does it when the job is due, an administrator at any time. Pure, but for what client middleware does.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from pykiq.errors import PayloadError
from pykiq.middleware.around import run_client
from pykiq.middleware.chain import Chain, ClientMiddleware
from pykiq.store.due import Move
from pykiq.wire import payload
from pykiq.wire.dialect import Dialect, is_number
from pykiq.wire.exactjson import dumps


def repushed(
    member: bytes,
    job: dict[str, Any],
    chain: Chain[ClientMiddleware],
    dialect: Callable[[dict[str, Any]], Dialect],
    now: float,
) -> Move:
    """The move of `member`, whose payload is `job`, out of its set: to its queue, or to `schedule` when it has an `at`.

    Keys that Ruby's client would add are added; nothing is removed. A job that a middleware stops is dropped.
    Raises PayloadError when `job`, or what the middleware made of it, cannot be pushed, and what a middleware raises.
    """
    wrong = problem(job)
    if wrong:
        raise PayloadError(f"the job cannot be pushed: {wrong}")
    job = {"retry": True, "queue": "default", **job}  # Ruby's order: [poll_missing_keys]
    if job.get("jid") is None:
        job["jid"] = os.urandom(12).hex()
    speech = dialect(job)
    if job.get("created_at") is None:
        job["created_at"] = speech.stamp(now)
    passed = run_client(chain, job)
    if passed is None:
        return Move("drop", member)
    wrong = problem(passed)
    if wrong:
        raise PayloadError(f"client middleware returned a job that cannot be pushed: {wrong}")
    at = passed.pop("at", None)
    if is_number(at) and at > now:
        if speech.strips_enqueued_at:
            passed.pop("enqueued_at", None)
        return Move("schedule", member, entry=dumps(passed, speech), at=float(at))
    passed["enqueued_at"] = speech.stamp(now)
    return Move("push", member, queue=passed["queue"], entry=dumps(passed, speech))


def problem(job: dict[str, Any]) -> str | None:
    """Why Ruby's client would refuse to push this payload; None when it would not."""
    if payload.class_name(job) is None:
        return "it names no class"
    if not isinstance(job.get("args"), list):
        return "its args are not a list"
    queue = job.get("queue", "default")
    return None if isinstance(queue, str) and queue else "its queue is empty"

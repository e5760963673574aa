"""When a job is too old to start: the keys of Sidekiq Pro (its documentation: Pro-Expiring-Jobs).

`expires_in` is an option of a class, in seconds. When a job of it is pushed, `expiry` is written beside it: the moment
in epoch seconds by which the job must have started, counted from when it is due. Retries keep it. Ruby without Pro
writes `expires_in` alone, for nobody; here it counts as well as it can be told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pykiq.wire.dialect import is_number, seconds

EXPIRY = "expiry"
EXPIRES_IN = "expires_in"

_SINCE = ("failed_at", "enqueued_at", "created_at")


def stamp(payload: dict[str, Any], due: float) -> None:
    """Write `expiry` into a job that is pushed and due at `due` (epoch s). A moment that is there already stays.

    An `expires_in` that is no number means nothing, as to Pro.
    """
    limit = payload.get(EXPIRES_IN)
    if payload.get(EXPIRY) is None and is_number(limit):
        payload[EXPIRY] = float(due) + limit


def expired(payload: Mapping[str, Any], now: float) -> float | None:
    """Return for how many seconds the job has been too old to start at `now` (epoch s), or None when it may start.

    Without `expiry` the time runs from the first failure, else from `enqueued_at`, else from `created_at`: when a job
    was due, Ruby without Pro does not say, but never later than that.
    """
    if EXPIRY not in payload and EXPIRES_IN not in payload:  # nearly every job
        return None
    until = payload.get(EXPIRY)
    if is_number(until):
        return now - until if now > until else None
    limit = payload.get(EXPIRES_IN)
    if not is_number(limit):
        return None
    since = next((moment for key in _SINCE if (moment := seconds(payload.get(key))) is not None), None)
    if since is None:
        return None
    late = now - since - limit  # not a sum of both: the limit may be too large for a float
    return late if late > 0 else None

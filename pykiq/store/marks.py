"""Deploy marks: vertical lines in the charts of Ruby's Metrics page (WIRE.md §14)."""

from __future__ import annotations

from typing import Any

import redis

from pykiq.wire import metrics


def mark(client: redis.Redis, label: str, now: float) -> bool:
    """Mark the minute of `now` (epoch s) with `label`; False when that label has been there less than a minute ago.

    As Ruby does: of all machines that report one deployment, the first one marks it, and of two labels in the same
    minute the first one stays.
    """
    key, minute = metrics.marks(now)
    if not client.set(metrics.mark_lock(label), minute, nx=True, ex=metrics.MARK_LOCK_TTL):
        return False
    with client.pipeline(transaction=True) as pipeline:
        pipeline.hsetnx(key, minute, label)
        pipeline.expire(key, metrics.MARKS_TTL)
        written: list[Any] = pipeline.execute()
    return bool(written[0])

"""The numbers of the dashboard: counters, sets, queues and processes, read in two round trips (WIRE.md §11, §20)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import redis

from pykiq.errors import Unreadable
from pykiq.wire import keys, payload


@dataclass(frozen=True, slots=True)
class QueueStats:
    """One queue: how many jobs wait in it, and for how long the oldest has (seconds; 0 when empty or unreadable)."""

    name: str
    size: int
    latency: float


@dataclass(frozen=True, slots=True)
class Stats:
    """What the dashboards show. `processes` counts those whose heartbeat is there, `busy` the jobs they run now."""

    processed: int
    failed: int
    enqueued: int
    retries: int
    scheduled: int
    dead: int
    processes: int
    busy: int
    queues: tuple[QueueStats, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def read(client: redis.Redis, now: float) -> Stats:
    """Read everything; `now` is epoch seconds, latencies count up to it."""
    first = client.pipeline(transaction=False)
    first.get(keys.STAT_PROCESSED)
    first.get(keys.STAT_FAILED)
    for name in (keys.RETRY, keys.SCHEDULE, keys.DEAD):
        first.zcard(name)
    first.smembers(keys.PROCESSES)
    first.smembers(keys.QUEUES)
    processed, failed, retries, scheduled, dead, identities, names = first.execute()

    identities, names = sorted(identities), sorted(names)
    second = client.pipeline(transaction=False)
    for identity in identities:
        second.hget(identity, "busy")
    for name in names:
        key = keys.queue("").encode() + name
        second.llen(key)
        second.lindex(key, -1)
    answers = second.execute()
    busy = [_number(answer) for answer in answers[: len(identities)] if answer is not None]
    pairs = answers[len(identities) :]
    queues = tuple(
        QueueStats(_text(name), int(size), _latency(oldest, now))
        for name, size, oldest in zip(names, pairs[::2], pairs[1::2], strict=True)
    )
    return Stats(
        processed=_number(processed),
        failed=_number(failed),
        enqueued=sum(queue.size for queue in queues),
        retries=int(retries),
        scheduled=int(scheduled),
        dead=int(dead),
        processes=len(busy),
        busy=sum(busy),
        queues=queues,
    )


def _latency(oldest: bytes | None, now: float) -> float:
    if oldest is None:
        return 0.0
    try:
        return payload.latency(payload.parse(oldest), now) or 0.0
    except Unreadable:
        return 0.0


def _number(answer: bytes | None) -> int:
    try:
        return int(answer or 0)
    except ValueError:
        return 0


def _text(name: bytes) -> str:
    # Queue names are bytes to Redis; whatever they are, they go back to it unchanged.
    return name.decode("utf-8", "surrogateescape")

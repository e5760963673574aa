"""One look at what waits in Redis, and how all processes that serve the same queues share it.

Of a hundred workers that are scraped every fifteen seconds, each would send two commands per queue and get its oldest
job, whole, as an answer. So whoever finds no fresh reading in Redis takes the lease, reads, and leaves what it has read
there; to all others a scrape is one small round trip. The lease is the freshness: nobody waits for a reader that died.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import redis as redis_py

from pykiq.errors import Unreadable
from pykiq.wire import keys
from pykiq.wire.payload import latency, parse

FRESH = 5.0  # seconds for which a reading does for everybody
KEPT = 15.0  # seconds that it is there: a reader whose turn it is may be slow, or dead
_FORMAT = 1  # of what is shared; another version's is not read

DUE = (keys.RETRY, keys.SCHEDULE)


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at Redis. A key that could not be read is absent from the mappings; `up` is False when nothing could."""

    up: bool
    sizes: dict[str, int] = field(default_factory=dict)
    latencies: dict[str, float] = field(default_factory=dict)
    sets: dict[str, int] = field(default_factory=dict)
    lateness: dict[str, float] = field(default_factory=dict)  # seconds, of `retry` and `schedule`
    paused: dict[str, bool] = field(default_factory=dict)
    seconds: float = 0.0  # that the round trip took


_FIELDS = {one.name for one in fields(Reading)}


def read(redis: redis_py.Redis, queues: Sequence[str], now: float) -> Reading:
    """Read everything in one round trip. Raises redis.RedisError when Redis does not answer."""
    with redis.pipeline(transaction=False) as pipeline:
        for queue in queues:
            pipeline.llen(keys.queue(queue))
            pipeline.lindex(keys.queue(queue), -1)
        for key in DUE:
            pipeline.zrange(key, 0, 0, withscores=True)
        pipeline.smembers(keys.PAUSED)
        for key in (keys.RETRY, keys.SCHEDULE, keys.DEAD):
            pipeline.zcard(key)
        began = time.perf_counter()
        replies: list[Any] = pipeline.execute(raise_on_error=False)
        took = time.perf_counter() - began
    if all(isinstance(reply, Exception) for reply in replies):
        return Reading(up=False)  # loading its data, or we may not read
    sizes, latencies = {}, {}
    for position, queue in enumerate(queues):
        size, oldest = replies[2 * position], replies[2 * position + 1]
        if isinstance(size, int):
            sizes[queue] = size
            waited = oldest_latency(oldest, now)
            if waited is not None:
                latencies[queue] = waited
    names = ("retry", "schedule", "dead")
    sets = {name: n for name, n in zip(names, replies[-3:], strict=True) if isinstance(n, int)}
    firsts = zip(DUE, replies[-6:-4], strict=True)
    lateness = {key: max(0.0, now - first[0][1]) if first else 0.0 for key, first in firsts if isinstance(first, list)}
    members = replies[-4]
    paused = {queue: queue.encode() in members for queue in queues} if isinstance(members, (set, list)) else {}
    return Reading(True, sizes, latencies, sets, lateness, paused, took)


def oldest_latency(oldest: object, now: float) -> float | None:
    """How long a queue's next job has waited in seconds: 0 for an empty queue, None when its bytes do not say."""
    if oldest is None:
        return 0.0
    if not isinstance(oldest, bytes):
        return None
    try:
        return latency(parse(oldest), now)
    except Unreadable:
        return None


def shared(redis: redis_py.Redis, queues: Sequence[str], now: float) -> Reading:
    """The reading that another process has left, at most `KEPT` s old, else one of our own, left for the others.

    Its `seconds` are those of this call's first round trip. Raises redis.RedisError when Redis does not answer.
    """
    group = hashlib.sha1("\0".join(sorted(queues)).encode(), usedforsecurity=False).hexdigest()[:12]
    with redis.pipeline(transaction=False) as pipeline:
        pipeline.set(keys.backlog_reader(group), b"1", nx=True, px=int(FRESH * 1000))
        pipeline.get(keys.backlog(group))
        began = time.perf_counter()
        leased, found = pipeline.execute(raise_on_error=False)
        took = time.perf_counter() - began
    told = unpacked(found) if leased is not True else None  # an error, too: Redis is full, or takes no writes here
    if told is None:
        told = read(redis, queues, now)
        if leased is True and told.up:
            redis.set(keys.backlog(group), packed(told), px=int(KEPT * 1000))
    return replace(told, seconds=took)


def packed(reading: Reading) -> bytes:
    """A reading as it is left for others."""
    return json.dumps({"format": _FORMAT, **asdict(reading)}).encode()


def unpacked(found: object) -> Reading | None:
    """What another process has left; None when that is nothing, or nothing that this version knows."""
    try:
        told = json.loads(found) if isinstance(found, bytes) else None
    except ValueError:
        return None
    if not isinstance(told, dict) or told.pop("format", None) != _FORMAT or set(told) != _FIELDS:
        return None
    return Reading(**told)

"""One look at what waits in Redis, and how all processes that serve the same queues share it.

Of a hundred workers that are scraped every fifteen seconds, each would send two commands per queue and get its oldest
job, whole, as an answer. So whoever finds no fresh reading in Redis takes the lease, reads, and leaves what it has read
there; to all others a scrape is one small round trip. The lease is the freshness: nobody waits for a reader that died.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import redis as redis_py

from pykiq.errors import Unreadable
from pykiq.wire import keys, untrusted
from pykiq.wire.dialect import is_number
from pykiq.wire.exactjson import dumps
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
            key: Any = keys.raw(keys.queue(queue))
            pipeline.llen(key)
            pipeline.lindex(key, -1)
        for key in DUE:
            # Not one whose score is no moment, such as an infinity: it would be late for ever.
            pipeline.zrangebyscore(key, 0, untrusted.LAST_MOMENT, start=0, num=1, withscores=True)
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
    paused = {queue: keys.raw(queue) in members for queue in queues} if isinstance(members, (set, list)) else {}
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
    group = hashlib.sha1(keys.raw("\0".join(sorted(queues))), usedforsecurity=False).hexdigest()[:12]
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
    return dumps({"format": _FORMAT, **asdict(reading)})


def unpacked(found: object) -> Reading | None:
    """What another process has left; None when that is nothing, or nothing that this version knows."""
    told = untrusted.mapping(found)
    if told is None or told.pop("format", None) != _FORMAT or set(told) != _FIELDS:
        return None
    for name, kind in _MAPPINGS.items():
        if not isinstance(told[name], dict) or not all(map(kind, told[name].values())):
            return None
    if not isinstance(told["up"], bool) or not is_number(told["seconds"]):
        return None
    return Reading(**told)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


_MAPPINGS: Mapping[str, Callable[[object], bool]] = {
    "sizes": is_number,
    "latencies": is_number,
    "sets": is_number,
    "lateness": is_number,
    "paused": _is_bool,
}

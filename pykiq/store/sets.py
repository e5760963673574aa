"""The sorted sets (`retry`, `schedule`, `dead`), read in pages of any length; entries leave them by `due.move`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import redis

from pykiq.config import Config
from pykiq.store.kinds import asked
from pykiq.store.scripts import Call, run, script
from pykiq.wire import keys, untrusted

PAGE = 500  # entries of one round trip


class Entry(NamedTuple):
    """One member of a sorted set with its score (epoch seconds)."""

    member: bytes
    score: float


def size(client: redis.Redis, key: str) -> int:
    """How many entries there are."""
    return int(asked(lambda: client.zcard(key), 0))


def pages(client: redis.Redis, key: str, *, up: bool = False, page: int = PAGE) -> Iterator[list[Entry]]:
    """The entries a page at a time: from the highest score as Ruby's API walks them, or `up` from the lowest.

    An entry that is there all the time comes exactly once, whatever else is added and removed meanwhile, by the caller
    too. One that is rescheduled in the middle may come twice or not at all.
    """
    last: tuple[Any, ...] = ()
    while True:
        call = Call(script("page"), [key], ["up" if up else "down", page, *last])
        flat = iter(asked(partial(run, client, call), ()))
        found = [Entry(member, untrusted.score(score)) for member, score in zip(flat, flat, strict=True)]
        if not found:
            return
        if not up:
            found.reverse()
        last = (repr(found[-1].score), found[-1].member)
        yield found


def escaped(text: str) -> str:
    """`text` as a pattern that means just that text."""
    return "".join(f"\\{char}" if char in "*?[]\\" else char for char in text)


def scan(client: redis.Redis, key: str, pattern: str, *, count: int = PAGE) -> Iterator[Entry]:
    """The entries whose bytes match a glob, looked through by the server, in no order; one may come twice."""
    for page in scan_pages(client, key, pattern, count=count):
        yield from page


def scan_pages(client: redis.Redis, key: str, pattern: str, *, count: int = PAGE) -> Iterator[list[Entry]]:
    """The same, step by step: what the server has found among about `count` entries, which may be nothing."""
    cursor, glob = 0, pattern.encode("utf-8", "surrogateescape")
    while True:
        cursor, found = _scanned(client, key, cursor, glob, count)
        yield [Entry(member, untrusted.score(score)) for member, score in found]
        if cursor == 0:
            return


def _scanned(client: redis.Redis, key: str, cursor: int, glob: bytes, count: int) -> tuple[int, Any]:
    answer: Any = asked(lambda: client.zscan(key, cursor, match=glob, count=count), (0, ()))
    return int(answer[0]), answer[1]


def has(client: redis.Redis, key: str, member: bytes) -> bool:
    """Whether exactly these bytes are an entry."""
    return client.zscore(key, member) is not None


def with_score(client: redis.Redis, key: str, low: float, high: float) -> list[Entry]:
    """The entries whose score lies between `low` and `high`, both included."""
    found: Any = client.zrangebyscore(key, repr(float(low)), repr(float(high)), withscores=True)
    return [Entry(member, untrusted.score(score)) for member, score in found]


def add(client: redis.Redis, key: str, score: float, member: bytes) -> None:
    """Put an entry in."""
    client.zadd(key, {member: score})


def clear(client: redis.Redis, key: str) -> None:
    """Remove every entry."""
    client.unlink(key)


def bury(client: redis.Redis, member: bytes, now: float, config: Config) -> None:
    """Put an entry into `dead` and trim it, in one step (WIRE.md §8c)."""
    with client.pipeline(transaction=True) as pipeline:
        pipeline.zadd(keys.DEAD, {member: now})
        _trim(pipeline, now, config)
        pipeline.execute()


def trim_dead(client: redis.Redis, now: float, config: Config) -> None:
    """Drop what is too old in `dead`, and the oldest of what is too much."""
    with client.pipeline(transaction=True) as pipeline:
        _trim(pipeline, now, config)
        pipeline.execute()


def _trim(pipeline: Any, now: float, config: Config) -> None:
    pipeline.zremrangebyscore(keys.DEAD, "-inf", now - config.dead_timeout)
    pipeline.zremrangebyrank(keys.DEAD, 0, -config.dead_max_jobs)

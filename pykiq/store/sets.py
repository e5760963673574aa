"""The sorted sets (`retry`, `schedule`, `dead`), read in pages of any length; entries leave them by `due.move`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import redis

from pykiq.config import Config
from pykiq.store.kinds import asked
from pykiq.store.portions import Portion, fitting
from pykiq.store.scripts import Call, run, script
from pykiq.wire import keys, untrusted
from pykiq.wire.glob import Glob

PAGE = 500  # entries of one round trip at most


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
    portion = Portion(page)
    while True:
        call = Call(script("page"), [key], ["up" if up else "down", portion.size, *last])
        flat = iter(asked(partial(run, client, call), ()))
        found = [Entry(member, untrusted.score(score)) for member, score in zip(flat, flat, strict=True)]
        if not found:
            return
        if not up:
            found.reverse()
        last = (repr(found[-1].score), found[-1].member)
        portion.took(entry.member for entry in found)
        yield found


def scan(client: redis.Redis, key: str, pattern: str, *, count: int = PAGE) -> Iterator[Entry]:
    """The entries whose bytes match a glob, in no order; one may come twice. `count` bounds what a step looks at.

    The server looks through them for the longest text that a match must have, and only for that: a pattern of many
    stars would hold it up for seconds.
    """
    for page in scan_pages(client, key, pattern, count=count):
        yield from page


def scan_pages(client: redis.Redis, key: str, pattern: str, *, count: int = PAGE) -> Iterator[list[Entry]]:
    """The same, step by step: what was found among about `count` entries, which may be nothing."""
    glob = Glob(keys.raw(pattern))
    cursor, literal = 0, b"*" + re.sub(rb"([*?\[\]\\])", rb"\\\1", glob.literal) + b"*" if glob.literal else b"*"
    count = fitting(client, key, size(client, key), count)
    while True:
        cursor, found = _scanned(client, key, cursor, literal, count)
        yield [Entry(member, untrusted.score(score)) for member, score in found if glob.matches(member)]
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

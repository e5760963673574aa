"""The queues as an administrator sees them: their names, their jobs in pages, and which of them are paused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha1
from typing import Any

import redis

from pykiq.store.kinds import asked, members
from pykiq.store.portions import Portion
from pykiq.wire import keys

PAGE = 500  # jobs of one round trip at most
SEARCHED = 64  # pages that are searched for the place where a walk went on before jobs were pushed


def names(client: redis.Redis) -> list[str]:
    """Every queue that was pushed to and not cleared since, in alphabetical order."""
    return sorted(map(text, members(client, keys.QUEUES)))


def text(name: bytes) -> str:
    """A queue's name as text. Names are bytes to Redis; whatever they are, they go back to it unchanged."""
    return name.decode("utf-8", "surrogateescape")


def raw_key(name: str) -> bytes:
    """The key of a queue's list, with the bytes its name had."""
    return keys.raw(keys.queue(name))


def size(client: redis.Redis, name: str) -> int:
    """How many jobs wait."""
    return int(asked(lambda: client.llen(raw_key(name)), 0))


def oldest(client: redis.Redis, name: str) -> bytes | None:
    """The next job to be taken, or None."""
    found: Any = asked(lambda: client.lindex(raw_key(name), -1), None)
    return found if isinstance(found, bytes) else None


def oldest_of(client: redis.Redis, name: str, count: int) -> list[bytes]:
    """The `count` jobs that are next to be taken, the newest of them first."""
    found: Any = asked(lambda: client.lrange(raw_key(name), -count, -1), []) if count else []
    return list(found)


def pages(client: redis.Redis, name: str, *, page: int = PAGE) -> Iterator[list[bytes]]:
    """The jobs a page at a time, newest first, as Ruby's API walks them.

    Jobs that are taken leave from the far end and do not matter. Pushes and deletions shift the rest: each page begins
    where the last one ended, found by its bytes. A job that waits all the time comes at least once.
    """
    place, portion = _Place(client, raw_key(name)), Portion(page)
    while found := place.next(portion.size):
        yield found
        portion.took(found)


class _Place:
    """How far a walk through a list has come: behind the last of the jobs it has seen that are still there.

    Whatever stands before one of them was seen too, or has been pushed since. Nothing else may be passed over.
    """

    def __init__(self, client: redis.Redis, key: bytes) -> None:
        self._client = client
        self._key = key
        self._start = 0
        self._seen: list[bytes] = []  # the last page, or the last job that is left of those before
        self._before: bytes | None = None  # the last job of the page before
        self._marks: set[bytes] = set()  # of the last job of every page, its digest

    def next(self, page: int) -> list[bytes]:
        """The next jobs, at most `page` of them; empty at the end."""
        self._start, found = self._after(page)
        if found:
            self._before = self._seen[-1] if self._seen else None
            self._start, self._seen = self._start + len(found), found
            self._marks.add(_mark(found[-1]))
        return found

    def _after(self, page: int) -> tuple[int, list[bytes]]:
        if not self._seen:
            return 0, self._range(0, page)
        found = self._range(self._start - 1, page + 1)
        if found and found[0] == self._seen[-1]:
            return self._start, found[1:]
        near = max(self._start - 1 - max(page, len(self._seen)), 0)
        start = self._further_on(near, page)
        if start is None:
            start = self._further_back(self._start, page)
        return start, self._range(start, page)

    def _further_on(self, at: int, page: int) -> int | None:
        """Where the walk goes on behind those of the last page that are left: jobs were pushed, or a few deleted."""
        known, after = frozenset(self._seen), None
        for _ in range(SEARCHED):
            found = self._range(at, page)
            places = [place for place, raw in enumerate(found) if raw in known]
            if places:
                after = at + places[-1] + 1
            if len(found) < page or (after is not None and after < at + page):
                break  # nothing comes between those seen: behind the first other job there are only others
            if after is None and self._before is not None and self._before in found[:-1]:
                self._seen = [self._before]  # the last page stood behind it, and is gone
                return at + found.index(self._before) + 1
            at += page
        return after

    def _further_back(self, until: int, page: int) -> int:
        """The same behind the last of all pages of which something is left: many jobs were deleted. Some come again."""
        known = {*map(_mark, self._seen), *self._marks}
        while until > 0:
            at = max(until - page, 0)
            found = self._range(at, until - at)
            places = [place for place, raw in enumerate(found) if _mark(raw) in known]
            if places:
                self._seen = [found[places[-1]]]
                return at + places[-1] + 1
            until = at
        self._seen = []
        return 0

    def _range(self, start: int, count: int) -> list[bytes]:
        found: Any = asked(lambda: self._client.lrange(self._key, start, start + count - 1), [])
        return list(found)


def _mark(raw: bytes) -> bytes:
    return sha1(raw, usedforsecurity=False).digest()


def count(client: redis.Redis, name: str, raw: bytes) -> int:
    """How often exactly these bytes wait in a queue. Redis looks through all of it."""
    found: Any = client.lpos(raw_key(name), raw, count=0)  # type: ignore[arg-type]
    return len(found)


def delete(client: redis.Redis, name: str, jobs: Sequence[bytes]) -> list[bool]:
    """Remove a few jobs by their exact bytes; for each whether it was still there.

    Redis searches for each: 5 ms behind 100,000 others. For many see sifting.py.
    """
    with client.pipeline(transaction=False) as pipeline:
        for raw in jobs:
            pipeline.lrem(raw_key(name), 1, raw)  # type: ignore[arg-type]
        return [bool(removed) for removed in pipeline.execute()]


def clear(client: redis.Redis, name: str) -> None:
    """Remove every job, and the queue from the list of queues, in one step as Ruby does (WIRE.md §20)."""
    with client.pipeline(transaction=True) as pipeline:
        pipeline.unlink(raw_key(name))
        pipeline.srem(keys.QUEUES, keys.raw(name))
        pipeline.execute()


def paused(client: redis.Redis) -> frozenset[str]:
    """The queues that are paused: nothing is taken from them until they are resumed (WIRE.md §14)."""
    return frozenset(map(text, members(client, keys.PAUSED)))


def pause(client: redis.Redis, name: str) -> bool:
    """Pause a queue; False when it was paused already."""
    return bool(client.sadd(keys.PAUSED, keys.raw(name)))


def resume(client: redis.Redis, name: str) -> bool:
    """Let jobs be taken again; False when it was not paused."""
    return bool(client.srem(keys.PAUSED, keys.raw(name)))

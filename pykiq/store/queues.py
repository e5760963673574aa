"""The queues as an administrator sees them: their names, their jobs in pages, and which of them are paused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    key, start = raw_key(name), 0
    seen: list[bytes] = []
    portion = Portion(page)
    while True:
        start, found = _after(client, key, start, seen, portion.size)
        if not found:
            return
        yield found
        start, seen = start + len(found), found
        portion.took(found)


def _after(client: redis.Redis, key: bytes, start: int, seen: Sequence[bytes], page: int) -> tuple[int, list[bytes]]:
    """The jobs after those of `seen`, which ended at index `start`; and the index of the first of them."""
    if not seen:
        return start, _range(client, key, start, page)
    found = _range(client, key, start - 1, page + 1)
    if found and found[0] == seen[-1]:
        return start, found[1:]
    # Pushed to: further on. Deleted from: further back, and then perhaps it is not the last one seen that is left.
    known, after = frozenset(seen), None
    at = max(start - 1 - page, 0)
    for _ in range(SEARCHED):
        found = _range(client, key, at, page)
        places = [place for place, raw in enumerate(found) if raw in known]
        if places:
            after = at + places[-1] + 1
        if len(found) < page or (after is not None and after < at + page):
            break  # nothing comes between those seen: behind the first other job there are only others
        at += page
    # When all of them are gone, the rest has moved up into their place.
    start = max(start - len(seen), 0) if after is None else after
    return start, _range(client, key, start, page)


def _range(client: redis.Redis, key: bytes, start: int, count: int) -> list[bytes]:
    found: Any = asked(lambda: client.lrange(key, start, start + count - 1), [])
    return list(found)


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
        pipeline.srem(keys.QUEUES, name.encode("utf-8", "surrogateescape"))
        pipeline.execute()


def paused(client: redis.Redis) -> frozenset[str]:
    """The queues that are paused: nothing is taken from them until they are resumed (WIRE.md §14)."""
    return frozenset(map(text, members(client, keys.PAUSED)))


def pause(client: redis.Redis, name: str) -> bool:
    """Pause a queue; False when it was paused already."""
    return bool(client.sadd(keys.PAUSED, name.encode("utf-8", "surrogateescape")))


def resume(client: redis.Redis, name: str) -> bool:
    """Let jobs be taken again; False when it was not paused."""
    return bool(client.srem(keys.PAUSED, name.encode("utf-8", "surrogateescape")))

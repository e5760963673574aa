"""What pykiq's processes hold in flight, as an administrator sees it: whose, from which queue, and whether it lives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import redis

from pykiq.errors import Unreadable
from pykiq.store.kinds import asked
from pykiq.store.queues import text
from pykiq.wire import keys, untrusted
from pykiq.wire.exactjson import loads

ASKED = 500  # lists of one round trip
PAGE = 100  # jobs of one round trip: a process holds few, and they may be large


class Held(NamedTuple):
    """An in-flight list that is not empty. `alive` tells whether its owner's lease is there.

    Without a lease the jobs are about to be taken over by another process.
    """

    identity: str
    queue: str
    jobs: int
    alive: bool


def read(client: redis.Redis, unlisted: Iterable[tuple[str, str]] = ()) -> list[Held]:
    """The lists that the owners tell of, by identity and queue; and `unlisted`, pairs of them that nobody tells of."""
    owners = _owners(client)
    pairs = {(text(identity), queue) for identity, queues in owners.items() for queue in _names(queues)}
    rest = iter(sorted(pairs.union(unlisted)))
    found: list[Held] = []
    while asked := list(islice(rest, ASKED)):
        with client.pipeline(transaction=False) as pipeline:
            for identity, queue in asked:
                pipeline.llen(_key(identity, queue))
                pipeline.exists(keys.raw(keys.lease(identity)))
            answers = iter(pipeline.execute(raise_on_error=False))
        for (identity, queue), jobs, alive in zip(asked, answers, answers, strict=True):
            if isinstance(jobs, int) and jobs:  # what is no list under such a name holds no jobs
                found.append(Held(identity, queue, jobs, alive == 1))
    return found


def owners(client: redis.Redis) -> set[str]:
    """The identities of pykiq's processes, those included that are gone and have left something in flight."""
    return set(map(text, _owners(client)))


def count(client: redis.Redis, identity: str, queue: str, raw: bytes) -> int:
    """How often exactly these bytes are in flight there."""
    found: Any = client.lpos(_key(identity, queue), raw, count=0)  # type: ignore[arg-type]
    return len(found)


def lease_left(client: redis.Redis, identity: str) -> float | None:
    """The seconds until a process's lease runs out unless it is renewed; None when it does not, or nobody may ask."""
    try:
        left: Any = client.pttl(keys.raw(keys.lease(identity)))
    except redis.ResponseError:
        return None
    return left / 1000 if left >= 0 else None


def pages(client: redis.Redis, held: Held) -> Iterator[list[bytes]]:
    """The jobs of one list, the one claimed last first."""
    start = 0
    while True:
        page: Any = client.lrange(_key(held.identity, held.queue), start, start + PAGE - 1)
        if not page:
            return
        yield list(page)
        start += len(page)


def _key(identity: str, queue: str) -> bytes:
    return keys.raw(keys.inflight(identity, queue))


def _owners(client: redis.Redis) -> dict[bytes, bytes]:
    """The hash of owners; empty when the key is of another type."""
    return dict(asked(lambda: client.hgetall(keys.OWNERS), {}))


def _names(queues: bytes) -> list[str]:
    try:
        return untrusted.texts(loads(queues))
    except Unreadable:
        return []

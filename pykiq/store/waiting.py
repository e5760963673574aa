"""Which classes wait in the queues: a look at both ends of each, for the start-up's word on missing handlers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import redis

from pykiq.errors import Unreadable
from pykiq.store.kinds import asked
from pykiq.wire import keys, payload

LOOKED_AT = 200  # entries at each end of a queue
_CHUNK = 50
_BUDGET = 8 * 1024 * 1024  # bytes per end: a queue of large payloads must not hold up the start


@dataclass(frozen=True, slots=True)
class Waiting:
    """The classes without a handler in one queue's ends, each with how many of the jobs looked at are of it."""

    queue: str
    classes: Mapping[str, int]


def without_handler(client: redis.Redis, queues: Iterable[str], known: Callable[[str], bool]) -> list[Waiting]:
    """Look at the oldest and the newest entries of each queue; `known` says whether a class has a handler.

    Entries that are no jobs or name no class are left out: those fail when the worker gets to them.
    """
    found = []
    for queue in queues:
        classes: Counter[str] = Counter()
        for raw in _ends(client, keys.raw(keys.queue(queue))):
            try:
                job = payload.parse(raw)
            except Unreadable:
                continue
            names = [name for name in (payload.class_name(job), payload.handler_name(job)) if name]
            if names and not any(known(name) for name in names):
                classes[payload.display_name(job)] += 1
        if classes:
            found.append(Waiting(queue, dict(classes.most_common())))
    return found


def _ends(client: redis.Redis, key: Any) -> list[bytes]:
    size = int(asked(lambda: client.llen(key), 0))
    if size <= 2 * LOOKED_AT:
        return _part(client, key, 0, size)
    return _part(client, key, 0, LOOKED_AT) + _part(client, key, size - LOOKED_AT, size)


def _part(client: redis.Redis, key: Any, start: int, stop: int) -> list[bytes]:
    found: list[bytes] = []
    for at in range(start, stop, _CHUNK):
        found.extend(cast("list[bytes]", client.lrange(key, at, min(at + _CHUNK, stop) - 1)))
        if sum(map(len, found)) > _BUDGET:
            break
    return found

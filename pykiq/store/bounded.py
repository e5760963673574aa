"""Lists read in bounded portions: Redis hangs up on who asks for more than it will send at once.

`client-output-buffer-limit` counts what one client has not read yet, and a proxy may have a limit of its own. So a list
comes in portions, and of a large entry only its ends and its digest: by that it can be told of, and moved within Redis.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from hashlib import sha1
from typing import Any, TypeVar

import redis

from pykiq.store.scripts import Call, run, script
from pykiq.wire.exactjson import dumps

T = TypeVar("T")

PORTION = 262_144  # bytes: of one answer, and of an entry that is part of one
TRIES = 2  # for what Redis hangs up on: a connection may break for other reasons

_CLASS = re.compile(rb'"(?:wrapped|class)":"([^"\\]{1,200})"')
_JID = re.compile(rb'"jid":"([^"\\]{1,100})"')


class Entry:
    """One entry of a list. `raw` is None for a large one, of which `ends` are the first and the last bytes."""

    def __init__(self, answer: Any) -> None:
        if isinstance(answer, bytes):
            self.raw: bytes | None = answer
            self.size = len(answer)
            self.ends = (answer, b"")
        else:
            self.raw = None
            self.size = int(answer[0])
            self.digest = answer[1].decode()
            self.ends = (answer[2], answer[3])

    @cached_property
    def digest(self) -> str:
        """The SHA-1 of its bytes, in hex."""
        return sha1(self.raw or b"", usedforsecurity=False).hexdigest()

    @property
    def stand_in(self) -> bytes:
        """Its bytes, or for a large one a payload that says of it what can be seen: its class and its jid."""
        if self.raw is not None:
            return self.raw
        return dumps({"class": self._seen(_CLASS), "args": [], "jid": self._seen(_JID)})

    def _seen(self, pattern: re.Pattern[bytes]) -> str:
        # Arguments may hold what looks alike: before them the first is right, behind them the last.
        first, last = self.ends
        before, _, behind = first.partition(b'"args":')
        found = pattern.findall(before)[:1] or pattern.findall(last)[-1:] or pattern.findall(behind)[-1:]
        return found[0].decode("utf-8", "replace") if found else ""


def portions(
    client: redis.Redis, key: str, place: int = 0, *, lease: str | None = None, lease_ms: int = 0
) -> list[Entry]:
    """The next entries of a list from `place` on, newest first; none at its end. Raises redis.RedisError.

    With a `lease`, which is extended, the answer is a master's.
    """
    call = Call(script("portion"), [key] if lease is None else [key, lease], [place, PORTION, lease_ms])
    return [Entry(answer) for answer in run(client, call)]


def every(client: redis.Redis, key: str, **keys: Any) -> Iterator[Entry]:
    """All entries of a list to which nobody else writes, newest first."""
    place = 0
    while entries := portions(client, key, place, **keys):
        yield from entries
        place += len(entries)


def whole(client: redis.Redis, key: str, place: int, entry: Entry) -> bytes | None:
    """The bytes of a large entry that is at `place`; None when Redis does not send them, or it is there no more."""
    raw: Any = sent(client, lambda: client.lindex(key, place))
    return raw if isinstance(raw, bytes) and sha1(raw, usedforsecurity=False).hexdigest() == entry.digest else None


def sent(client: redis.Redis, work: Callable[[], T]) -> T | None:
    """What `work` brings; None when Redis hangs up on it and answers otherwise. Raises when Redis is away."""
    for _ in range(TRIES):
        try:
            return work()
        except (redis.ConnectionError, OSError):
            client.ping()
    return None

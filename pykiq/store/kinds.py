"""Keys that are of another type than their name says: whoever reads many of them goes on without these."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import redis

from pykiq.errors import StoreError
from pykiq.store.refusals import is_wrong_type

_NAMES = {"list": "a list", "set": "a set", "zset": "a sorted set", "hash": "a hash"}


def readable(answers: Iterable[Any]) -> list[Any]:
    """A pipeline's answers, None for those of keys of another type. Raises the first error of any other kind."""
    found = []
    for answer in answers:
        if isinstance(answer, Exception) and not is_wrong_type(answer):
            raise answer
        found.append(None if isinstance(answer, Exception) else answer)
    return found


def asked(ask: Callable[[], Any], otherwise: Any) -> Any:
    """What Redis answers, or `otherwise` when the key is of another type: there is nothing of ours in it."""
    try:
        return ask()
    except redis.ResponseError as error:
        if is_wrong_type(error):
            return otherwise
        raise


def members(client: redis.Redis, key: str) -> set[bytes]:
    """The members of a set, read in bounded steps; none of a key of another type."""
    found: set[bytes] = asked(lambda: set(client.sscan_iter(key, count=1000)), set())
    return found


def require(client: redis.Redis, key: str | bytes, kind: str) -> None:
    """Raise StoreError when there is something of another type under `key`. `kind` is as the command TYPE says it."""
    answer: Any = client.type(key)
    found = answer.decode()
    if found not in (kind, "none"):
        name = key.decode("utf-8", "surrogateescape") if isinstance(key, bytes) else key
        raise StoreError(
            f"the key {name} is {_NAMES.get(found, f'a {found}')} and should be {_NAMES[kind]}: some other program has"
            " written it; nothing can be read from it"
        )

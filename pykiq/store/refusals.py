"""What Redis refuses: for everybody, or because of one entry or one key, which must keep no other waiting."""

from __future__ import annotations

import re

import redis
from redis.exceptions import OutOfMemoryError, ReadOnlyError

# redis-py takes the code off where it has a class for it. In a script's error it stands within.
_CODES = re.compile(r"\b(?:READONLY|NOREPLICAS|UNBLOCKED|LOADING|MASTERDOWN|MISCONF|BUSY|OOM|CLUSTERDOWN|EXECABORT)\b")


class Refusals:
    """Who is told of refusals. This one forgets them."""

    def entry(
        self, step: str, name: str, jid: str, queue: str, size: int, after: str, error: str = "Redis hung up on it"
    ) -> None:
        """One entry. `step` is settle, claim, due or takeover; `size` is in bytes; `after` is what becomes of it."""

    def key(self, step: str, key: str, error: str, after: str) -> None:
        """A whole key: of another type, or one that this user may not touch."""


def concerns_all(error: Exception) -> bool:
    """Whether a refusal tells of the server as a whole: others will be refused as well, and it passes by itself."""
    return isinstance(error, (OutOfMemoryError, ReadOnlyError, redis.ConnectionError)) or bool(
        _CODES.search(str(error)[:200])
    )

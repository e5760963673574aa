"""What Redis refuses: to everybody, or because of one entry or one key, which must keep no other waiting."""

from __future__ import annotations

import re

import redis
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
)

_NO_MASTER = frozenset({"READONLY", "NOREPLICAS", "UNBLOCKED", "LOADING", "MASTERDOWN"})
_WHOLE_SERVER = _NO_MASTER | {"OOM", "MISCONF", "BUSY", "CLUSTERDOWN"}

# redis-py takes the code off where it has a class for it. In a script's error, or in that of an EXEC, it stands within:
# "ERR Error running script …: -READONLY You can't …", "EXECABORT Transaction discarded because of: READONLY You …".
_CLASSES = {
    BusyLoadingError: "LOADING",
    ClusterDownError: "CLUSTERDOWN",
    MasterDownError: "MASTERDOWN",
    OutOfMemoryError: "OOM",
    ReadOnlyError: "READONLY",
}
_CODE = re.compile(rf"(?:^|-|: )({'|'.join(sorted(_WHOLE_SERVER))}) ")
_ANNOTATION = " of pipeline caused error: "  # what redis-py puts before it is the command, with the user's own text


class Refusals:
    """Who is told of refusals. This one forgets them."""

    def entry(
        self, step: str, name: str, jid: str, queue: str, size: int, after: str, error: str = "Redis hung up on it"
    ) -> None:
        """One entry. `step` is settle, claim, due or takeover; `size` is in bytes; `after` is what becomes of it."""

    def key(self, step: str, key: str, error: str, after: str) -> None:
        """A whole key: of another type, or one that this user may not touch."""


def is_demoted(answer: object) -> bool:
    """Whether it is the refusal of a server that is no master, has too few replicas for one, or is loading its data.

    All of these come before anything is carried out.
    """
    return isinstance(answer, redis.RedisError) and _code(answer) in _NO_MASTER


def concerns_all(error: Exception) -> bool:
    """Whether a refusal tells of the server as a whole: others will be refused as well, and it passes by itself."""
    return isinstance(error, redis.ConnectionError) or (
        isinstance(error, redis.RedisError) and _code(error) is not None
    )


def is_wrong_type(answer: object) -> bool:
    """Whether Redis answered that the key is of another type than the command is for."""
    return isinstance(answer, redis.ResponseError) and "WRONGTYPE" in _said(answer)  # of a script: in the middle


def _code(error: Exception) -> str | None:
    """The code of a refusal that tells of the whole server; None for any other error."""
    known = _CLASSES.get(type(error))
    if known is not None or not isinstance(error, redis.ResponseError):
        return known
    found = _CODE.search(_said(error))
    return found[1] if found else None


def _said(error: redis.ResponseError) -> str:
    """What Redis said, without what redis-py puts before it."""
    return str(error).rpartition(_ANNOTATION)[2]

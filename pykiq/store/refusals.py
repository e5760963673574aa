"""What Redis refuses: for everybody, or because of one entry or one key, which must keep no other waiting."""

from __future__ import annotations

import re

import redis
from redis.exceptions import OutOfMemoryError, ReadOnlyError

# redis-py takes the code off where it has a class for it. In a script's error it stands within.
_CODES = re.compile(r"\b(?:READONLY|NOREPLICAS|UNBLOCKED|LOADING|MASTERDOWN|MISCONF|BUSY|OOM|CLUSTERDOWN|EXECABORT)\b")


def concerns_all(error: Exception) -> bool:
    """Whether a refusal tells of the server as a whole: others will be refused as well, and it passes by itself."""
    return isinstance(error, (OutOfMemoryError, ReadOnlyError, redis.ConnectionError)) or bool(
        _CODES.search(str(error)[:200])
    )

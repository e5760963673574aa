"""How much of a long list or set is asked for at once: so much that Redis is busy with it for about 5 ms at most.

What that takes goes by bytes, not by entries: 500 of 300 bytes cost it 1 ms, 500 of 40 kB a hundred.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import redis

BYTES = 131_072  # of entries in one step: 1 to 2 ms of Redis for those of 300 bytes, less for large ones
FIRST = 20  # entries of the first step, when nobody knows yet how large they are


class Portion:
    """The number of entries of the next step, by the size of those of the last one. `most` bounds it."""

    def __init__(self, most: int, *, first: int = FIRST) -> None:
        self._most = most
        self.size = min(first, most)

    def took(self, entries: Iterable[bytes]) -> None:
        """Learn from what a step has read. It grows to four times as many at most: the next may be larger ones."""
        sizes = [len(one) for one in entries]
        if sizes:
            fitting = BYTES * len(sizes) // max(sum(sizes), 1)
            self.size = max(1, min(fitting, 4 * self.size, self._most))


def fitting(client: redis.Redis, key: str | bytes, entries: int, most: int) -> int:
    """How many of a key's `entries` are a step for a command that does not return what it has looked at."""
    try:
        answer: Any = client.memory_usage(key, samples=20)
    except redis.ResponseError:  # an ACL may forbid it
        answer = None
    if not answer or not entries:
        return min(FIRST, most)
    return max(1, min(BYTES * entries // int(answer), most))

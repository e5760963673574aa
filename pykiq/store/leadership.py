"""Leadership: of all processes of a fleet one does what need not be done by each, such as to look for due jobs.

A key that expires names it. The others look at how long it has left, and the first that finds it gone takes over. That
only saves work, and nothing rests on it: for a moment two may lead, or nobody, and each step of what they do is safe
against another process's.
"""

from __future__ import annotations

import random
import time
from typing import Any

import redis

from pykiq.store.claim import Berth
from pykiq.store.refusals import concerns_all
from pykiq.store.scripts import Call, run, script

CLOSE_SECONDS = 0.25
"""With less left than this the key's end is waited for, give or take 50 ms; with more, for half of that or longer: so
those who wait do not come all at once, and where many do, one that has been given up is found soon."""

LONGEST_SECONDS = 60.0
"""No process has a duty for longer than this, or twice our own time where that is more: settings may differ."""


class Leadership:
    """One duty, as one process sees it. One thread at a time."""

    def __init__(self, berth: Berth, key: str, life: float) -> None:
        """`life` is how long (s) the duty is a process's own without being taken again."""
        self._berth = berth
        self._key = key
        self._life = life
        self._longest = max(2 * life, LONGEST_SECONDS)
        self.held = False  # it was this process's when it was taken last
        self._taken_at = 0.0  # monotonic

    def left(self, client: redis.Redis) -> float:
        """How long (s) another process, or this one, has it yet; 0 when it can be taken. Raises redis.RedisError.

        It can when it lasts for longer than any should: then Redis' clock was put back, and who has it may have ended.

        A user who may not ask is told 0: then every process does the duty.
        """
        try:
            answer: Any = client.pttl(self._key)
        except redis.ResponseError as error:
            if concerns_all(error):
                raise
            return 0.0
        left = max(0.0, float(answer) / 1000)
        return left if left <= self._longest else 0.0

    def keep(self, client: redis.Redis) -> bool:
        """The same as `take`, but Redis is asked only when a third of its time is over."""
        return (self.held and time.monotonic() - self._taken_at < self._life / 3) or self.take(client)

    def take(self, client: redis.Redis, *, again: bool = True) -> bool:
        """Take it, or keep it; whether it is this process's now. Raises redis.RedisError.

        A server that is no master is asked once more, on a new connection, unless `again` is False.
        """
        identity, lease_ms, _ = self._berth.owner_args
        args = (identity, lease_ms, max(1, int(self._life * 1000)), int(self._longest * 1000))
        self._taken_at = time.monotonic()
        self.held = bool(run(client, Call(script("lead"), [self._berth.lease, self._key], args), again=again))
        return self.held

    def resign(self, client: redis.Redis) -> None:
        """Give it up, where it is this process's. Raises redis.RedisError."""
        if self.held:
            self.held = False
            run(client, Call(script("resign"), [self._key], [self._berth.identity]))


def pause(left: float) -> float:
    """How long (s) to wait before looking again at what another process has for `left` seconds yet."""
    return left + random.uniform(0.005, 0.05) if left < CLOSE_SECONDS else left * random.uniform(0.5, 1.0)

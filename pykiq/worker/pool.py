"""A pool: what one capsule may run here. It knows its room, draws its claims, and arms its doorbells when idle."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis

from pykiq.config import Capsule
from pykiq.records import Claimed
from pykiq.store.claim import Berth, claim_call, orders, read_claim
from pykiq.store.scripts import Call
from pykiq.worker.doorbell import Doorbell
from pykiq.worker.selective import Selective


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim on its way: the call, how many jobs it asks for, and the shared queue it looks through, if any."""

    pool: Pool
    call: Call
    room: int
    looks_at: str | None


class Pool:
    """One capsule's share of this process. Only the exchange's thread changes it."""

    def __init__(self, capsule: Capsule, berth: Berth, doors: Sequence[Doorbell], selective: Selective) -> None:
        self.capsule = capsule
        self.selective = selective
        self.busy = 0
        self.dry = False  # the last claim found less than it asked for: wait for a ring
        self._berth = berth
        self._doors = doors
        self._looked = False  # the last claim was a look: the plain queues are next

    @property
    def room(self) -> int:
        """Free slots."""
        return self.capsule.concurrency - self.busy

    def claim(self, rng: random.Random) -> Claim | None:
        """The claim to send now, or None when there is no room or nothing to expect.

        Plain queues and shared ones take turns, so that neither keeps the other waiting.
        """
        if self.room <= 0:
            return None
        queue = self.selective.due(time.monotonic())
        if queue is not None and (self.dry or not self._looked):
            self._looked = True
            return Claim(self, self.selective.call(queue, self.room), self.room, queue)
        self._looked = False
        if self.dry:
            return None
        drawn = orders(self.capsule, self.room, rng)
        plain = [tuple(name for name in order if name not in self.selective) for order in drawn]
        if not plain[0]:
            self.dry = True
            return None
        return Claim(self, claim_call(self._berth, plain, self.room), self.room, None)

    def read(self, claim: Claim, answer: Sequence[Any]) -> list[Claimed]:
        """The jobs a claim brought, oldest first."""
        now = time.time()
        if claim.looks_at is not None:
            return self.selective.read(claim.looks_at, answer, claim.room, time.monotonic(), now)
        claimed = read_claim(claim.call, answer, now)
        self.dry = len(claimed) < claim.room
        return claimed

    def wants_more(self) -> bool:
        """Whether a claim would be worth a turn right now."""
        return self.room > 0 and (not self.dry or self.selective.due(time.monotonic()) is not None)

    def arrange_doors(self, through: redis.Redis, *, open_to_work: bool) -> None:
        """Arm the doorbells of the plain queues when this pool waits for work, disarm them when it has no room."""
        waiting = open_to_work and self.dry and self.room > 0
        for door in self._doors:
            if waiting and door.queue not in self.selective:
                if not door.armed:
                    door.arm()
            elif door.armed:
                try:
                    door.disarm(through)
                except (redis.RedisError, OSError):
                    continue  # it waits a few seconds longer; what it brings is put back

    def parked(self) -> bool:
        """Whether none of the doorbells can bring anything any more."""
        return all(door.parked for door in self._doors)

    def close(self) -> None:
        """End the doorbells' threads."""
        for door in self._doors:
            door.close()

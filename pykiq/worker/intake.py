"""The intake: where one capsule's jobs come from. Draws claims, looks through shared queues, and rings when idle."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis

from pykiq.config import Capsule
from pykiq.records import Claimed
from pykiq.store.claim import (
    LARGE,
    Berth,
    claim_call,
    claim_few_call,
    claim_firsts_call,
    firsts_served,
    read_claim,
    read_refused,
)
from pykiq.store.order import Order
from pykiq.store.refusals import Refusals, concerns_all
from pykiq.store.scripts import Call
from pykiq.wire import keys
from pykiq.worker.bells import Bells
from pykiq.worker.selective import Selective

MEMORY = 0.2  # weight of the newest claim in the mean size of a job
REST = 5.0  # seconds until a queue that was refused is tried again
PLENTY = 64  # jobs of one claim, from which on claims are not kept small any more
FEW = 4  # jobs of one claim, up to which a move each costs less than a script
AT_ONCE = 2  # round trips: what rings later has been waited for
FORGETTING = 1.01  # the factor by which the quickest round trip counts as slower with each other one
MOST_FIRSTS = 0.5  # of the fetches found a job where they looked first, so that no other queue need be tried
TWICE = 2  # rings in a row without a wait, after which there is more than doorbells should fetch
FRESH = 4  # of a lease, the part of it after which a claim renews it
REFUSAL = 60.0  # seconds for which scripts claim after a transaction was refused


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim on its way: the call, how many jobs it asks for, and the shared queue it looks through, if any.

    `order` is that of the queues it takes from.
    """

    call: Call
    room: int
    looks_at: str | None
    order: Order


class Intake:
    """One capsule's way to its queues. Only the exchange's thread uses it."""

    def __init__(
        self,
        capsule: Capsule,
        berth: Berth,
        bells: Bells,
        selective: Selective,
        refusals: Refusals | None = None,
    ) -> None:
        self.queues = capsule.names
        self.selective = selective
        self.dry = False  # the last claim found less than it asked for: wait for a ring
        self._order = Order.of(capsule)
        self._berth = berth
        self._bells = bells
        self._passed: Sequence[str] = ()  # queues that must be empty: jobs were claimed from one behind them
        self.job_size = 0.0  # bytes of a job, mean of late
        self._firsts_served = False  # large jobs, and most fetches of the last claim found one where they looked first
        self._scripts_until = 0.0  # monotonic: a server that is full refuses transactions, but not our scripts
        self._looked = False  # the last claim was a look: the plain queues are next
        self._paused: frozenset[str] = frozenset()
        self._refusals = refusals or Refusals()
        self._refused: dict[str, float] = {}  # queues that Redis has refused, and until when (monotonic) they rest
        self._shut: frozenset[str] = frozenset()  # nothing is taken from these: paused, or refused
        self._most: int | None = None  # jobs of one claim: it doubles while there are as many, until it is PLENTY
        self._at_once = 0  # rings in a row for jobs that had been there when the doorbell was armed
        self._trip = 0.001  # seconds of a round trip, the quickest of late: the others had to wait for the GIL too
        self._fresh_until = 0.0  # monotonic: the lease is far from running out

    def pause(self, queues: frozenset[str]) -> None:
        """Take nothing from these queues, but from all others again. What has been claimed goes on."""
        self._paused = queues
        self._arrange_shut()
        self.dry = False

    def _arrange_shut(self) -> None:
        self._shut = self.selective.paused = self._paused | self._refused.keys()

    def _reopen(self) -> None:
        """Queues that were refused and have rested are tried again."""
        now = time.monotonic()
        rested = [queue for queue, until in self._refused.items() if until <= now]
        if rested:
            for queue in rested:
                del self._refused[queue]
            self._arrange_shut()
            self.dry = False

    def _refuse(self, queue: str, error: str) -> None:
        """A queue's key, or its in-flight list's, is no list: it rests, and keeps no other queue waiting."""
        self._refused[queue] = time.monotonic() + REST
        self._arrange_shut()
        self._refusals.key("claim", keys.queue(queue), error, f"the other queues are served; again in {REST:g} s")

    def rang(self, waited: float) -> None:
        """A doorbell has brought a job for which it `waited` so many seconds.

        What arrives one by one is left to the doorbells. To claim after each ring costs six commands, most of them in
        vain; a job that waits for the bell costs the one that moves it.
        """
        self._at_once = self._at_once + 1 if waited < AT_ONCE * self._trip else 0
        if self._at_once >= TWICE:
            self.dry = False
            self._most = FEW

    def tripped(self, seconds: float) -> None:
        """A round trip has taken so long."""
        self._trip = min(seconds, self._trip * FORGETTING)

    def silent(self) -> None:
        """A doorbell has lost its connection: what comes now comes without a ring."""
        self.dry = False

    def claim(self, room: int, rng: random.Random) -> Claim | None:
        """The claim to send now, or None when there is no room or nothing to expect.

        Plain queues and shared ones take turns, so that neither keeps the other waiting.
        """
        if room <= 0:
            return None
        if self._refused:
            self._reopen()
        if self._most is not None:
            room = min(room, self._most)
        queue = self.selective.due(time.monotonic())
        if queue is not None and (self.dry or not self._looked):
            self._looked = True
            return Claim(self.selective.call(queue, room, time.monotonic()), room, queue, Order((queue,)))
        self._looked = False
        if self.dry:
            return None
        plain = self._plain().without(self._bells.empty())
        if not plain.queues:
            self.dry = True
            return None
        return Claim(self._call(plain, room, rng), room, None, plain)

    def _call(self, order: Order, room: int, rng: random.Random) -> Call:
        now = time.monotonic()
        if now >= self._scripts_until:
            if room <= FEW and now < self._fresh_until and (self._firsts_served or len(order.queues) == 1):
                return claim_few_call(self._berth, order, room, rng)
            if self._firsts_served and self.job_size >= LARGE:
                return claim_firsts_call(self._berth, order, room, rng)
        self._fresh_until = now + self._berth.lease_ttl / FRESH
        return claim_call(self._berth, order, room, rng)

    def read(self, claim: Claim, answer: Sequence[Any]) -> list[Claimed]:
        """The jobs a claim brought, oldest first."""
        now = time.time()
        if claim.looks_at is not None:
            claimed = self.selective.read(claim.looks_at, answer, claim.room, time.monotonic(), now)
        else:
            claimed = read_claim(claim.call, answer, now)
            alone = len(claim.order.queues) == 1
            self.dry = len(claimed) < claim.room and (alone or claim.call.script is not None)
            if self.dry and claim.call.script is not None:
                for queue, error in read_refused(claim.call, answer).items():
                    self._refuse(queue, error)
            served = firsts_served(claim.order, claim.room, claim.call, answer, claimed)
            self._firsts_served = served >= MOST_FIRSTS
            if claimed and not claim.order.weights and len(claim.order.queues) > 1:
                self._passed = claim.order.queues[: claim.order.queues.index(claimed[-1].queue)]
        if self._most is not None:
            self._most = None if self._most >= PLENTY else 2 * self._most
        if claimed:
            mean = sum(len(one.raw) for one in claimed) / len(claimed)
            self.job_size += (mean - self.job_size) * MEMORY
        return claimed

    def refused(self, claim: Claim, error: Exception) -> bool:
        """Redis has answered a claim with an error. Whether that is all that there is to it: other claims may go on."""
        if claim.call.script is None:
            self._scripts_until = time.monotonic() + REFUSAL
        if claim.looks_at is not None and not concerns_all(error):
            self._refuse(claim.looks_at, str(error))
            return True
        return False

    def broke(self) -> None:
        """The answer to a claim was lost. It may have been more than Redis sends at once: smaller ones for a while."""
        self._most = max(1, (self._most or PLENTY) // 2)

    def expects_jobs(self) -> bool:
        """Whether a claim may find something right now."""
        return not self.dry or self.selective.due(time.monotonic()) is not None

    def wait(self, through: redis.Redis, *, open_to_work: bool, insist: bool = False) -> None:
        """Wait for jobs in the plain queues when there is nothing to claim and work is welcome, or do not.

        `insist` disarms again those doorbells that have not let go: what unblocks one can arrive before it blocks.
        """
        if self._refused:
            self._reopen()
        self._bells.look_after()
        if open_to_work and self.dry:
            if not self._bells.wait(self._plain().queues, through):
                self.dry = False
        else:
            self._bells.rest(through, insist=insist)
            if not self.dry:
                self._bells.ask(
                    self._passed
                )  # those before the ones that claims take from: what comes there goes first
        self._passed = ()

    def rearm(self, queue: str) -> bool:
        """Wait for the next job of a queue whose doorbell has rung. Whether it is awaited."""
        if not self.dry or queue in self.selective or queue in self._shut or self._refused:
            return False
        return self._bells.rearm(queue)

    def fetch(self, queues: Sequence[str], room: int) -> list[Claimed]:
        """One job from each of up to `room` queues that have changed. Raises redis.RedisError or OSError."""
        for queue in queues:
            self._bells.changed(queue)
        chosen = [queue for queue in queues if queue not in self.selective and queue not in self._shut][:room]
        claimed = self._bells.fetch(chosen) if self.dry and chosen else []
        empty = self._bells.empty()
        if self.dry and any(queue not in empty for queue in queues):
            self.dry = False
            self._most = FEW
        return claimed

    def parked(self) -> bool:
        """Whether none of the doorbells can bring anything any more."""
        return self._bells.parked()

    def close(self) -> None:
        """Hang up the doorbells."""
        self._bells.close()

    def _plain(self) -> Order:
        return self._order.without(self.selective).without(self._shut)

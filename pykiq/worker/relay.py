"""The relay: on a queue that is full of slow jobs, the thread that is done with one fetches the next itself.

It settles the one and moves the next in one request, and runs on. By way of the exchange each job would cost two
threads woken and a turn of the loop. The exchange allows it, for one queue and for a while; whatever is not plain (a
job that failed, a queue that has run dry, an error) goes to the exchange as ever.

Where are the jobs if the process dies here? In flight, both, until Redis has removed the one. If the answer is lost?
The exchange settles the one once more, and asks Redis whether it has moved the next.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import redis

from pykiq.records import Acknowledge, Assigned, Claimed, Fate, Outcome
from pykiq.store.claim import Berth
from pykiq.store.connection import Ear
from pykiq.store.roundtrip import packed, packed_but_last, with_last
from pykiq.store.settle import fate
from pykiq.wire import keys
from pykiq.worker.inbox import Inbox

LATEST = 5.0  # seconds that what is under way may take; as long as an answer
MOST = 4  # connections of one capsule; who finds none leaves its job to the exchange, which settles them together


class Leave(NamedTuple):
    """Threads may fetch from `queue` up to `until` (monotonic)."""

    queue: str
    until: float


class Relayed(NamedTuple):
    """What a thread has done. `fate` is None where Redis has not settled the job: if it is `lost`, perhaps it has.

    `following` is the next job, which that thread runs unless it is an `async def`; or the outcome of one that cannot
    run here.
    """

    capsule: str
    outcome: Outcome
    fate: Fate | None
    lost: bool = False
    following: Assigned | Outcome | None = None

    @property
    def taken(self) -> Assigned | None:
        """The job that the thread runs."""
        following = self.following
        return following if type(following) is Assigned and not following.handler.is_async else None


class Relay:
    """One capsule's. `allow`, `forbid`, `parked` and `close` are the exchange's, `next` is for the slots' threads."""

    def __init__(
        self,
        capsule: str,
        berth: Berth,
        client: redis.Redis,
        inbox: Inbox[Any],
        assign: Callable[[Claimed], Assigned | Outcome],
        connections: int = MOST,
    ) -> None:
        self._capsule = capsule
        self._client = client
        self._inbox = inbox
        self._assign = assign
        self.leave: Leave | None = None  # for all threads
        self._idle: deque[Ear | None] = deque([None] * connections)  # None is one still to be made
        self._under_way = 0
        self._changed = threading.Condition()  # `_under_way` has
        self._removal = cache(lambda queue: packed_but_last(("LREM", berth.inflight(queue), -1)))
        self._move = cache(lambda queue: packed([("LMOVE", keys.queue(queue), berth.inflight(queue), "RIGHT", "LEFT")]))

    @property
    def allowed(self) -> bool:
        """Whether threads may fetch."""
        return self.leave is not None

    def allow(self, queue: str, until: float) -> None:
        """Let threads fetch from `queue` up to `until` (monotonic). The lease must be good for longer than that."""
        self.leave = Leave(queue, until)

    def forbid(self) -> None:
        """Let nobody begin to fetch any more."""
        self.leave = None

    @property
    def parked(self) -> bool:
        """Whether nobody fetches, nor may, and the inbox has whatever has been fetched."""
        return self.leave is None and not self._under_way

    def next(self, outcome: Outcome) -> tuple[bool, Assigned | None]:
        """Settle a job that is done, and fetch the next. False when that is left to the exchange: nothing has changed.

        A thread is counted before it looks whether it may, and the exchange forbids before it looks whether one is
        counted: one of both sees the other.
        """
        if self.leave is None or type(outcome.write) is not Acknowledge:
            return False, None
        with self._changed:
            self._under_way += 1
        try:
            leave = self.leave
            if leave is None or time.monotonic() >= leave.until:
                return False, None
            ear = self._ear()
            if ear is None:
                return False, None
            relayed = self._fetch(ear, leave.queue, outcome)
            self._inbox.leave(relayed)
        finally:
            with self._changed:
                self._under_way -= 1
                if not self._under_way:
                    self._changed.notify_all()
        taken = relayed.taken
        if taken is not None:
            return True, taken
        self.leave = None
        self._inbox.ring()
        return True, None

    def close(self) -> None:
        """Fetch no more, and wait for what is under way."""
        self.forbid()
        with self._changed:
            # Not for ever: a thread that is interrupted between two lines is counted for good, and a stop always stops.
            self._changed.wait_for(lambda: not self._under_way, LATEST)
        while self._idle:
            ear = self._idle.pop()
            if ear is not None:
                self._hang_up(ear)

    def _ear(self) -> Ear | None:
        try:
            ear = self._idle.pop()
        except IndexError:
            return None
        if ear is not None:
            return ear
        try:
            return Ear(self._client.connection_pool.get_connection())
        except (redis.RedisError, OSError):
            self.forbid()
            self._idle.appendleft(None)
            return None

    def _fetch(self, ear: Ear, queue: str, outcome: Outcome) -> Relayed:
        answers: list[Any] = []
        try:
            ear.send(with_last(self._removal(outcome.claimed.queue), outcome.claimed.raw) + self._move(queue))
            while len(answers) < 2:
                try:
                    answers.append(ear.read())
                except redis.ResponseError as refused:
                    answers.append(refused)
        except (redis.RedisError, OSError):
            self._drop(ear)
            return Relayed(self._capsule, outcome, None, lost=True)
        except BaseException:  # the stop
            self._drop(ear)
            self._inbox.put(Relayed(self._capsule, outcome, None, lost=True))
            raise
        found, raw = answers
        if isinstance(found, Exception) or isinstance(raw, Exception):
            self._drop(ear)  # of a server that is no master any more, say: the exchange knows what to do
        else:
            self._idle.append(ear)
        written = None if isinstance(found, Exception) else fate(outcome) if found else Fate.TAKEN_OVER
        following = self._assign(Claimed(queue, raw, time.time())) if isinstance(raw, bytes) else None
        return Relayed(self._capsule, outcome, written, following=following)

    def _drop(self, ear: Ear) -> None:
        self._hang_up(ear)
        self._idle.appendleft(None)

    def _hang_up(self, ear: Ear) -> None:
        ear.connection.disconnect()
        self._client.connection_pool.release(ear.connection)

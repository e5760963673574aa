"""Acknowledging: a job that is done leaves in-flight from the thread that ran it, while the exchange sleeps.

To wake the exchange for each job costs more than to settle it: a write to its pipe, a thread woken, a round trip for
which it sleeps again. The thread that ran the job sends the removal itself, as long as the pool is at rest, which is
when the exchange waits for jobs with slots to spare. Nor does it wait for the answer, if the exchange looks for answers
soon: to be woken by each costs as much again. Whatever is more than an acknowledgement is left to the exchange.

Where is the job if the process dies here? In flight until Redis has removed it, and then done. If the answer is lost?
The exchange settles it once more, as it does with its own.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, Protocol

import redis

from pykiq.records import Acknowledge, Fate, Outcome, Settled
from pykiq.store.claim import Berth
from pykiq.store.connection import Ear, close
from pykiq.store.roundtrip import packed_but_last, with_last
from pykiq.store.settle import fate
from pykiq.worker.inbox import Inbox
from pykiq.worker.teller import Teller

SOON = 0.02  # seconds in which the exchange looks for answers while there are some to come
MOST_SENT = 100  # removals without an answer; then whoever sends the next one waits for all of them
LATEST = 5.0  # seconds without an answer, after which none is expected any more


class Sent(NamedTuple):
    """The removal of a job that is done is on its way: its slot is free."""

    outcome: Outcome


class Answered(NamedTuple):
    """What has become of removals. Those `lost` Redis may have made or not; those `refused` it has not."""

    settled: Sequence[Settled]
    lost: Sequence[Outcome] = ()
    refused: Sequence[Outcome] = ()


class Resting(Protocol):
    """A pool, which the exchange need not hear of while it is at rest."""

    at_rest: bool


class Acknowledger:
    """One connection for all slots' threads. `plan` and `close` are the exchange's."""

    def __init__(self, berth: Berth, client: redis.Redis, inbox: Inbox[Any], teller: Teller) -> None:
        self._client = client
        self._inbox = inbox
        self._teller = teller
        self._connection: Any = None
        self._ear: Ear | None = None  # of that connection
        self._lock = threading.Lock()  # of the connection, and of the order of `_sent`
        self._sent: deque[Outcome] = deque()  # without an answer
        self._answered_at = 0.0  # monotonic: the last answer, or the first removal since then
        self._looks_at = 0.0  # monotonic: when the exchange looks for answers
        self._closed = False
        self._opening = cache(lambda queue: packed_but_last(("LREM", berth.inflight(queue), -1)))

    def settle(self, pool: Resting, outcome: Outcome) -> bool:
        """Take a done job of `pool` out of in-flight. False when that is left to the exchange: nothing has changed."""
        if type(outcome.write) is not Acknowledge or self._closed or not self._lock.acquire(blocking=False):
            return False
        answered = None
        try:
            if not self._connected():
                return False
            self._send(outcome)
            if self._looks_at - time.monotonic() > SOON or len(self._sent) > MOST_SENT:
                answered = self._answers(Ear.read)
        except (redis.RedisError, OSError):
            answered = Answered((), self._hang_up())
        except BaseException:  # the stop, which has put the job back
            self._inbox.leave(Answered((), self._hang_up()))
            raise
        finally:
            self._lock.release()
        if answered:
            self._tell(answered)
        if not pool.at_rest:  # the exchange may wait for a slot by now
            self._inbox.ring()
        return True

    def look(self) -> None:
        """Take the answers that have come, unless somebody does so just now."""
        if self._sent and self._lock.acquire(blocking=False):
            try:
                answered = self._answers(Ear.read_if_there)
            finally:
                self._lock.release()
            self._tell(answered)

    def plan(self, at: float) -> float:
        """The exchange looks for answers again at `at` (monotonic); when it should, if some are to come by then.

        First it is said when, and then looked what is on its way; who sends does the same the other way round. So one
        of both sees the other: nobody waits for an answer in vain, and none is forgotten.
        """
        self._looks_at = at
        return min(at, time.monotonic() + SOON) if self._sent else at

    def close(self) -> None:
        """Acknowledge no more, and wait for the answers."""
        self._closed = True
        if not self._lock.acquire(timeout=LATEST):  # its thread was interrupted between two lines; a stop always stops
            close(self._client)
            return
        try:
            answered = self._answers(Ear.read)
            close(self._client)
        finally:
            self._lock.release()
        self._tell(answered)

    def _connected(self) -> bool:
        if self._ear is None:
            try:
                self._connection = self._client.connection_pool.get_connection()
            except (redis.RedisError, OSError):
                return False
            self._ear = Ear(self._connection)
        return True

    def _send(self, outcome: Outcome) -> None:
        assert self._ear
        if not self._sent:
            self._answered_at = time.monotonic()
        self._sent.append(outcome)
        self._inbox.leave(Sent(outcome))
        queue, raw, _ = outcome.claimed
        self._ear.send(with_last(self._opening(queue), raw))

    def _answers(self, read: Callable[[Ear], Any]) -> Answered:
        """Those that `read` finds; all others are lost if the connection is."""
        settled: list[Settled] = []
        refused: list[Outcome] = []
        lost: Sequence[Outcome] = ()
        sent, ear = self._sent, self._ear
        try:
            while sent and ear:
                try:
                    found = read(ear)
                except redis.ResponseError:  # a server that is no master any more, say: the exchange knows what to do
                    refused.append(sent.popleft())
                else:
                    outcome = sent.popleft()
                    settled.append(Settled(outcome, fate(outcome) if found else Fate.TAKEN_OVER))
        except (redis.RedisError, OSError) as error:
            now = time.monotonic()
            if settled or refused:
                self._answered_at = now
            early = isinstance(error, BlockingIOError) and read is Ear.read_if_there
            if not early or now - self._answered_at > LATEST:
                lost = self._hang_up()
        if refused:
            lost = [*lost, *self._hang_up()]
        return Answered(settled, lost, refused)

    def _tell(self, answered: Answered) -> None:
        self._teller.tell(answered.settled)
        self._inbox.leave(answered)
        if answered.lost or answered.refused:
            self._inbox.ring()

    def _hang_up(self) -> list[Outcome]:
        """Close the connection. What was sent and not answered is lost."""
        lost = list(self._sent)
        self._sent.clear()
        if self._connection is not None:
            self._connection.disconnect()
            self._client.connection_pool.release(self._connection)
        self._connection = self._ear = None
        return lost

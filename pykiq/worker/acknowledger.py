"""Acknowledging: a job that is done leaves in-flight from the thread that ran it, while the exchange sleeps.

To wake the exchange for each job costs more than to settle it: a write to its pipe, a thread woken, a round trip for
which it sleeps again. The thread that ran the job has nothing else to do: it makes the round trip itself, as long as
the pool is at rest, which is when the exchange waits for jobs with slots to spare. One thread at a time: the others
leave their jobs to the exchange, which settles them together. So does whatever is more than an acknowledgement.

Where is the job if the process dies here? In flight until Redis has removed it, and then done. If the answer is lost?
The exchange settles it once more, as it does with its own.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple, Protocol

import redis

from pykiq.records import Acknowledge, Fate, Outcome, Settled
from pykiq.store.claim import Berth
from pykiq.store.connection import Ear, close
from pykiq.store.roundtrip import packed
from pykiq.store.settle import fate
from pykiq.worker.inbox import Inbox
from pykiq.worker.teller import Starting, Teller


class Acknowledged(NamedTuple):
    """A job that is done. `settled` is whether Redis has said so; else it may have been, or not."""

    outcome: Outcome
    settled: bool


class Resting(Starting, Protocol):
    """A pool, which the exchange need not hear of while it is at rest."""

    at_rest: bool


class Acknowledger:
    """One connection for all slots' threads."""

    def __init__(self, berth: Berth, client: redis.Redis, inbox: Inbox[Any], teller: Teller) -> None:
        self._berth = berth
        self._client = client
        self._inbox = inbox
        self._teller = teller
        self._connection: Any = None
        self._ear: Ear | None = None  # of that connection
        self._lock = threading.Lock()
        self._closed = False

    def settle(self, pool: Resting, outcome: Outcome) -> bool:
        """Take a done job of `pool` out of in-flight. False when that is left to the exchange: nothing has changed."""
        if type(outcome.write) is not Acknowledge or self._closed or not self._lock.acquire(blocking=False):
            return False
        try:
            found = self._remove(outcome.claimed.queue, outcome.claimed.raw)
        except redis.ResponseError:  # a server that is no master any more, say: the exchange knows what to do
            self._hang_up()
            return False
        except (redis.RedisError, OSError):
            self._hang_up()
            self._inbox.put(Acknowledged(outcome, settled=False))
            return True
        except BaseException:  # the stop, which has put the job back
            self._hang_up()
            raise
        finally:
            self._lock.release()
        self._teller.tell([pool], [Settled(outcome, fate(outcome) if found else Fate.TAKEN_OVER)])
        self._inbox.leave(Acknowledged(outcome, settled=True))
        if not pool.at_rest:  # the exchange may wait for a slot by now
            self._inbox.ring()
        return True

    def close(self) -> None:
        """Acknowledge no more, and wait for the one that is under way."""
        self._closed = True
        with self._lock:
            close(self._client)

    def _remove(self, queue: str, raw: bytes) -> int:
        if self._ear is None:
            self._connection = self._client.connection_pool.get_connection()
            self._ear = Ear(self._connection)
        self._ear.send(packed([("LREM", self._berth.inflight(queue), -1, raw)]))
        return int(self._ear.read())

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.disconnect()
            self._client.connection_pool.release(self._connection)
        self._connection = self._ear = None

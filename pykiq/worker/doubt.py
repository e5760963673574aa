"""The doubt: whether Redis may hold jobs in flight for this process that it does not know of.

An answer that was lost may have moved jobs, and so may a doorbell whose connection broke. Until Redis has been asked
what it holds, nothing new is claimed: those jobs would wait for as long as this process lives.
"""

from __future__ import annotations

import time

import redis

from pykiq.records import Claimed
from pykiq.store.bounded import whole
from pykiq.store.claim import Berth, Held
from pykiq.store.refusals import Refusals
from pykiq.wire import payload
from pykiq.worker.doorbell import BLOCK, MARGIN
from pykiq.worker.flight import Flight
from pykiq.worker.line import Line

ASK_AGAIN = 60.0  # seconds until a job is asked for again that Redis did not send
AUDIT = 10.0  # seconds between two counts of what Redis holds in flight for this process


class Doubt:
    """Only the exchange's thread uses it, but for `lasting`."""

    def __init__(self, berth: Berth, line: Line, flight: Flight, refusals: Refusals | None = None) -> None:
        self.here = False
        self._refusals = refusals or Refusals()
        self._ask_again_at = 0.0  # monotonic: for what Redis has not sent
        self._berth = berth
        self._line = line
        self._flight = flight
        self._lasts_until = 0.0  # monotonic
        self._audit_at = time.monotonic() + AUDIT

    @property
    def lasting(self) -> bool:
        """Whether Redis may yet move a job to this process, for a connection that broke a moment ago."""
        return time.monotonic() < self._lasts_until

    def raised(self) -> None:
        """Something was asked of Redis, and what became of it is unknown."""
        self.here = True

    def raised_by_waiter(self) -> None:
        """A waiter's connection broke: Redis may still serve it."""
        self.here = True
        self._lasts_until = time.monotonic() + BLOCK + MARGIN

    def audit(self) -> None:
        """Count, now and then, what is in flight; more than is known here raises the doubt.

        A connection that broke may still have a claim or a waiter at the other end, and Redis may serve it long after
        it was asked what it holds: to a client that has gone, for a process that lives and would hold the job for ever.
        """
        if time.monotonic() < self._audit_at:
            return
        self._audit_at = time.monotonic() + AUDIT
        held = self._line.ask(self._berth.count)
        if held is not None and held > len(self._flight):
            self.here = True
        if self._flight.withheld and time.monotonic() >= self._ask_again_at:
            self.here = True

    def settled(self) -> list[Claimed] | None:
        """Ask Redis what it holds: the jobs that nobody here knows of, and the doubt is gone. None without an answer.

        The doorbells must have let go before. One that moves a job just now would have it found here and then ring for
        it: the job would run twice.

        One that Redis does not send, at which it hangs up, stays in flight. It is asked for again every minute:
        somebody may have raised the limit.
        """
        found = self._line.ask(self._read)
        if found is None:
            return None
        self.here = False
        return found

    def _read(self, client: redis.Redis) -> list[Claimed]:
        now, found, withheld = time.time(), list[Claimed](), list[Held]()
        patient = time.monotonic() < self._ask_again_at
        before = {(one.queue, one.entry.digest) for one in self._flight.withheld} if patient else set()
        for one in self._flight.unknown(self._berth.held(client)):
            if (one.queue, one.entry.digest) in before:
                withheld.append(one)
                continue
            raw = one.entry.raw
            if raw is None:
                raw = whole(client, one.key, one.place, one.entry)
            if raw is not None:
                found.append(Claimed(one.queue, raw, now))
                continue
            withheld.append(one)
            job = payload.told(one.entry.stand_in)
            after = "stays in flight and is asked for again every minute; raise client-output-buffer-limit"
            self._refusals.entry("claim", job.name, job.jid, one.queue, one.entry.size, after)
        self._flight.withheld = withheld
        if not patient:
            self._ask_again_at = time.monotonic() + ASK_AGAIN
        return found

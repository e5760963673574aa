"""The doubt: whether Redis may hold jobs in flight for this process that it does not know of.

An answer that was lost may have moved jobs, and so may a doorbell whose connection broke. Until Redis has been asked
what it holds, nothing new is claimed: those jobs would wait for as long as this process lives.
"""

from __future__ import annotations

import time

from pykiq.records import Claimed
from pykiq.store.claim import Berth
from pykiq.worker.doorbell import BLOCK, MARGIN
from pykiq.worker.flight import Flight
from pykiq.worker.line import Line

AUDIT = 10.0  # seconds between two counts of what Redis holds in flight for this process


class Doubt:
    """Only the exchange's thread uses it, but for `lasting`."""

    def __init__(self, berth: Berth, line: Line, flight: Flight) -> None:
        self.here = False
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

    def settled(self) -> list[Claimed] | None:
        """Ask Redis what it holds: the jobs that nobody here knows of, and the doubt is gone. None without an answer.

        The doorbells must have let go before. One that moves a job just now would have it found here and then ring for
        it: the job would run twice.
        """
        held = self._line.ask(self._berth.held)
        if held is None:
            return None
        self.here = False
        now = time.time()
        return [one._replace(claimed_at=now) for one in self._flight.unknown(held)]

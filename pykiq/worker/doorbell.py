"""Doorbells: idle means blocked, not polling. Each has a BLMOVE under way on a connection of its own, for one queue.

A job that arrives is moved into the in-flight list by Redis itself, so it is never only in memory. The exchange sleeps
on all the connections at once (`Inbox.watch`): no thread stands between a job's arrival and the loop, and it is handed
to a slot before the loop does anything else. A doorbell rings once per arming: the exchange claims what else has come,
and arms it again when the queue has run dry.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import redis

from pykiq.records import Claimed
from pykiq.store.claim import Berth
from pykiq.store.connection import Ear, close, descriptor, forget
from pykiq.store.roundtrip import packed
from pykiq.wire import keys
from pykiq.worker.inbox import Inbox

BLOCK = 5.0  # seconds of one BLMOVE: how long a wrong connection can go unnoticed
MARGIN = 3.0  # seconds the answer may come late before the connection counts as lost
CONNECTING = 1.0  # seconds: the exchange waits meanwhile
REST = 0.2  # seconds before a doorbell whose connection was lost tries again


Ring = Callable[[Claimed | None, float], None]


class Doorbell:
    """Waits for one queue. Only the exchange's thread uses it."""

    def __init__(
        self,
        queue: str,
        berth: Berth,
        client: redis.Redis,
        inbox: Inbox[Any],
        ring: Ring,
    ) -> None:
        """`ring` is called with each job that comes, and how long it was waited for (s).

        It is called with None when the connection was lost: one may have come.
        """
        self.queue = queue
        self.armed = False  # the exchange wants the next job of this queue
        # What a lost connection may still be served must come while the lease holds, or nobody would own the job.
        self._block = min(BLOCK, berth.lease_ttl / 2)
        self._request = packed([("BLMOVE", keys.queue(queue), berth.inflight(queue), "RIGHT", "LEFT", self._block)])
        self._client = client
        self._inbox = inbox
        self._ring = ring
        # The one connection that blocks. A pool would replace one that broke meanwhile without a word, and the number
        # to unblock would be nobody's, or, after a restart of Redis, somebody else's.
        self._connection: Any = None
        self._connection_id = 0
        self._ear: Ear  # made with each connection
        self._watched: int | None = None  # the connection's descriptor while a BLMOVE is under way
        self._asked_at = 0.0  # monotonic: when the BLMOVE under way was sent
        self._overdue = 0.0  # monotonic: by then the BLMOVE under way must have been answered
        self._rest_until = 0.0  # monotonic

    @property
    def parked(self) -> bool:
        """Whether no BLMOVE of this doorbell can move anything now, and it has rung for all it moved."""
        return not self.armed and self._watched is None

    def arm(self) -> None:
        """Wait for one job. Said again it looks after the connection."""
        self.armed = True
        now = time.monotonic()
        if self._watched is None:
            if now >= self._rest_until:
                self._wait()
        elif now > self._overdue:
            self._lose()

    def disarm(self, through: redis.Redis) -> None:
        """Stop waiting; a job may still arrive at this very moment. `through` carries the CLIENT UNBLOCK."""
        self.armed = False
        if self._watched is None:
            return
        if time.monotonic() > self._overdue:
            self._lose()
        else:
            through.client_unblock(self._connection_id)

    def close(self) -> None:
        """Hang up."""
        self.armed = False
        self._hang_up()
        close(self._client)

    def _wait(self) -> None:
        try:
            if self._connection is None:
                waiter: Any = self._client.client()  # type: ignore[no-untyped-call]
                self._connection_id, self._connection = int(waiter.client_id()), waiter.connection
                self._ear = Ear(self._connection)
            self._asked_at = time.monotonic()
            self._overdue = self._asked_at + self._block + MARGIN
            self._ear.send(self._request)
            watched = descriptor(self._connection)
            self._inbox.watch(watched, self._hear)
            self._watched = watched
        except (redis.RedisError, OSError):
            self._lose()

    def _hear(self) -> None:
        """Read the answer that has come. Nothing else can come on this connection, so reading hardly waits."""
        try:
            raw = self._ear.read()
        except (redis.RedisError, OSError):
            # Errors that Redis answers too: a demoted master throws its waiters out with one (UNBLOCKED).
            self._lose()
            return
        self._unwatch()
        if raw is not None:
            self.armed = False
            self._ring(Claimed(self.queue, raw, time.time()), time.monotonic() - self._asked_at)
        elif self.armed:
            self._wait()

    def _lose(self) -> None:
        if self._connection is not None:
            forget(self._connection)
        self._hang_up()
        self.armed = False
        self._rest_until = time.monotonic() + REST
        self._ring(None, 0.0)

    def _hang_up(self) -> None:
        self._unwatch()
        self._connection = None
        self._client.connection_pool.disconnect()

    def _unwatch(self) -> None:
        if self._watched is not None:
            self._inbox.unwatch(self._watched)
            self._watched = None

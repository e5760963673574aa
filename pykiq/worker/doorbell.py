"""Doorbells: idle means blocked, not polling. One per queue, each waiting in a BLMOVE on a connection of its own.

A job that arrives is moved into the in-flight list by Redis itself, so it is never only in memory. A doorbell rings
once per arming: the exchange claims what else has come, and arms it again when the queue has run dry.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis

from pykiq.records import Claimed
from pykiq.store.claim import Berth
from pykiq.wire import keys

BLOCK = 5.0  # seconds of one BLMOVE: how long a wrong connection can go unnoticed
MARGIN = 3.0  # seconds the answer may come late before the connection counts as lost


@dataclass(frozen=True, slots=True)
class Ring:
    """A doorbell's message: a job that arrived, or None when its connection was lost with an unknown result."""

    capsule: str
    queue: str
    claimed: Claimed | None


class Doorbell:
    """Waits for one queue on behalf of one capsule."""

    def __init__(
        self, capsule: str, queue: str, berth: Berth, client: redis.Redis, ring: Callable[[Ring], None]
    ) -> None:
        self.capsule = capsule
        self.queue = queue
        self._source, self._target = keys.queue(queue), berth.inflight(queue)
        # What a lost connection may still be served must come while the lease holds, or nobody would own the job.
        self._block: Any = min(BLOCK, berth.lease_ttl / 2)
        self._client = client
        self._ring = ring
        self._state = threading.Condition()
        self._wanted = False  # armed: the exchange wants the next job of this queue
        self._busy = False  # a BLMOVE may be moving a job, or its ring is not in the inbox yet
        self._closed = False
        # The one connection that blocks. A pool would replace one that broke meanwhile without a word, and the number
        # to unblock would be nobody's, or, after a restart of Redis, somebody else's.
        self._waiter: redis.Redis | None = None
        self._connection_id: int | None = None
        self._thread = threading.Thread(target=self._wait, name=f"pykiq-door-{queue}", daemon=True)

    @property
    def armed(self) -> bool:
        return self._wanted

    @property
    def parked(self) -> bool:
        """Whether no BLMOVE of this doorbell can move anything now, and all it moved is in the inbox."""
        with self._state:
            return not self._wanted and not self._busy

    def arm(self) -> None:
        """Start waiting for one job."""
        with self._state:
            self._wanted = True
            self._state.notify()
        if self._thread.ident is None:
            self._thread.start()

    def disarm(self, through: redis.Redis) -> None:
        """Stop waiting; a job may still arrive at this very moment. `through` carries the CLIENT UNBLOCK."""
        with self._state:
            self._wanted = False
            blocked = self._connection_id if self._busy else None
        if blocked is not None:
            through.client_unblock(blocked)

    def close(self) -> None:
        """Let the thread end once it is parked."""
        with self._state:
            self._closed, self._wanted = True, False
            self._state.notify()

    def _wait(self) -> None:
        while True:
            with self._state:
                self._busy = False
                self._state.wait_for(lambda: self._wanted or self._closed)
                if self._closed:
                    break
                self._busy = True
            try:
                self._listen()
            except (redis.RedisError, OSError):
                # Errors that Redis answers too: a demoted master throws its waiters out with one (UNBLOCKED), and a
                # thread that ended here would leave the queue without anybody waiting for it.
                self._hang_up()
                self._wanted = False
                self._ring(Ring(self.capsule, self.queue, None))
                time.sleep(0.2)  # the exchange backs off too; this only keeps a dead server from a busy loop
        self._hang_up()

    def _hang_up(self) -> None:
        self._connection_id = self._waiter = None
        self._client.connection_pool.disconnect()

    def _listen(self) -> None:
        waiter = self._waiter
        if waiter is None or self._connection_id is None:
            waiter = self._waiter = self._client.client()  # type: ignore[no-untyped-call]
            self._connection_id = int(waiter.client_id())
        if not self._wanted:
            return
        raw: Any = waiter.blmove(self._source, self._target, self._block, "RIGHT", "LEFT")
        if raw is not None:
            self._wanted = False
            self._ring(Ring(self.capsule, self.queue, Claimed(self.queue, raw, time.time())))

"""Standing orders: Redis extends the lease of a process by itself, as long as a connection of that process is open.

A handler that holds the interpreter's lock keeps every thread of its process from renewing the lease. So commands for
a minute are under way already, on a connection of their own: pairs of a BRPOP, on a list to which nobody ever pushes,
and a PEXPIRE of the lease. Redis works off what a client has sent in order, and a command that blocks holds up that
client alone: the lease is extended twice in its life, whatever the process does meanwhile, until the orders run out.

When the process ends, however it does, the system closes its connection. Redis drops the client with all its orders,
and the lease runs out as if there had been none. Only where nothing closes the connection (the process is frozen, its
machine has lost power or network) is it extended until the orders have run out. A PEXPIRE does not bring a lease back:
one that was given up stays so.
"""

from __future__ import annotations

import time
from typing import Any

import redis
from redis.exceptions import NoPermissionError

from pykiq.logger import get_logger
from pykiq.store.claim import Berth
from pykiq.store.connection import close, forget
from pykiq.store.roundtrip import packed
from pykiq.wire import keys

ORDERS = 10  # at a time: when they were topped up a quarter of a lease ago, they still last for five leases
PERIOD = 0.5  # of a lease's life, from one order to the next
QUICK = 0.05  # seconds: what takes longer was held up by others
LATE = 5.0  # seconds an answer may come late before the connection counts as lost

log = get_logger()


class StandingOrders:
    """Those of one process. `client` is theirs alone: a pool may be limited to one connection. One thread at a time."""

    def __init__(self, berth: Berth, client: redis.Redis) -> None:
        self._key = keys.standing(berth.identity)
        self._period = berth.lease_ttl * PERIOD
        lease = ("PEXPIRE", berth.lease, int(berth.lease_ttl * 1000))
        # BRPOP and not BLPOP: it is what Sidekiq itself waits with, and so what a user of Redis for Sidekiq is allowed.
        self._order = packed([("BRPOP", self._key, f"{self._period:.3f}"), lease])
        self._client = client
        self._connection: Any = None
        self._given = 0  # orders on this connection
        self._answers = 0  # read on it, two to an order
        self._read_at = 0.0  # monotonic: when they were read last
        self._overdue = 0.0  # monotonic: by then the next must have come
        self._refused = False

    def top_up(self) -> None:
        """Read what has been answered and fill up what has been worked off; nothing once Redis has refused an order.

        Raises redis.RedisError or OSError when that cannot be done: nothing stands then, and a repeat connects anew.
        """
        if self._refused:
            return
        try:
            if self._connection is None:
                self._connect()
            # Among handlers that take turns at holding the interpreter's lock this thread may get it once a minute, and
            # each system call is such a turn. So the orders go first, by the clock, for as long as that takes long.
            while self._send() > QUICK:
                pass
            self._read()
            self._send()
        except redis.ResponseError as error:
            self.withdraw()
            if not _is_final(error):
                raise
            self._refused = True
            after = f"a handler that holds the interpreter's lock for longer than {2 * self._period:g} s loses its jobs"
            log.warning("standing_orders_refused", error=str(error), key=self._key, next=after)
        except BaseException:
            self.withdraw()
            raise

    def withdraw(self) -> None:
        """Hang up: no order is carried out any more."""
        connection, self._connection = self._connection, None
        if connection is not None:
            forget(connection)
            connection.disconnect()
            self._client.connection_pool.release(connection)

    def close(self) -> None:
        """The same for good."""
        self.withdraw()
        close(self._client)

    def disown(self) -> None:
        """In a process forked from the one that gave them: close its copy of the connection, and leave the other open.

        Redis would else hear of the end of that process only when this one has ended too.
        """
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()  # only closes the descriptor of what another process has connected

    def _connect(self) -> None:
        self._connection = self._client.connection_pool.get_connection()
        self._given = self._answers = 0
        self._read_at = time.monotonic()
        self._overdue = self._read_at + self._period + LATE

    def _read(self) -> None:
        while self._connection.can_read(timeout=0):
            self._connection.read_response()
            self._answers += 1
            self._overdue = time.monotonic() + self._period + LATE
        self._read_at = time.monotonic()
        if self._read_at > self._overdue:
            raise redis.TimeoutError(
                f"no answer on the connection of the standing orders for {self._period + LATE:g} s"
            )

    def _send(self) -> float:
        """Give what orders are missing; returns how long that took, in seconds."""
        now = time.monotonic()
        carried_out = min(self._answers // 2 + int((now - self._read_at) / self._period), self._given)
        missing = ORDERS - (self._given - carried_out)
        if missing > 0:
            self._connection.send_packed_command([self._order * missing])
            self._given += missing
        return time.monotonic() - now


def _is_final(error: redis.ResponseError) -> bool:
    """Whether a repeat would be refused too: the user may not do this, or there is no such command."""
    return isinstance(error, NoPermissionError) or str(error).lower().startswith("unknown command")

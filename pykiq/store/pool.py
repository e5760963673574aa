"""The pool behind a client of `connect`: redis-py's, with a shorter way for connections that are used again.

What redis-py counts and locks around every command costs as much as half of a push.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from typing import Any

import redis
from redis.sentinel import SentinelConnectionPool


class Pool(redis.ConnectionPool):
    """A connection that comes back stays at hand for the next one who asks, from whatever thread.

    To redis-py's own pool such a connection is in use all the time: it goes back there when it is to be closed, when
    another master was found meanwhile, or when the process was forked. As there, a connection that the server closed
    while it was idle is noticed before anything is sent, and connects anew.
    """

    def reset(self) -> None:
        """Start empty; redis-py calls this in a forked child too, where the connections are the parent's."""
        self._at_hand: deque[Any] = deque()  # a deque and a set need no lock, which a fork could leave locked
        self._lent: set[Any] = set()
        super().reset()

    def get_connection(self, *_: Any, **__: Any) -> Any:
        """A connection that is ready for a command. Raises redis.RedisError when Redis cannot be reached."""
        connection = self._take()
        if connection is None:
            connection = super().get_connection()
            self._lent.add(connection)
            return connection
        self._lent.add(connection)
        try:
            connection.connect()
            if _is_stale(connection):
                connection.disconnect()
                connection.connect()
        except BaseException:
            self.release(connection)
            raise
        return connection

    def release(self, connection: Any) -> None:
        """Take a connection back; one that is back already, or another pool's, is ignored."""
        try:
            self._lent.remove(connection)
        except KeyError:
            return
        if self.owns_connection(connection):
            self._at_hand.append(connection)
        else:
            super().release(connection)

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the idle connections, and the others too unless told otherwise."""
        while (connection := self._take()) is not None:
            super().release(connection)
        super().disconnect(inuse_connections)

    def _take(self) -> Any:
        if self.pid == os.getpid():
            with suppress(IndexError):
                return self._at_hand.pop()
        return None


class SentinelPool(Pool, SentinelConnectionPool):
    """The same for the master that Sentinels name."""


def _is_stale(connection: Any) -> bool:
    """Whether an idle connection has something to read: the rest of another's answer, or the server's good-bye."""
    try:
        return bool(connection.can_read())
    except (redis.ConnectionError, redis.TimeoutError, OSError):
        return True

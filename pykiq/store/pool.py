"""The pool behind a client of `connect`: redis-py's, with a shorter way for connections that are used again.

What redis-py counts and locks around every command costs as much as half of a push.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncSentinelConnectionPool
from redis.sentinel import SentinelConnectionPool

from pykiq.store.demotion import hanging_up, spend


class Pool(redis.ConnectionPool):
    """A connection that comes back stays at hand for the next one who asks, from whatever thread.

    To redis-py's own pool such a connection is in use all the time: it goes back there when it is to be closed, when
    another master was found meanwhile, or when the process was forked. As there, a connection that the server closed
    while it was idle is noticed before anything is sent, and connects anew. So does one that has met a server which is
    no master, and with it all the others, which lead there too.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.connection_class = hanging_up(self.connection_class)

    def reset(self) -> None:
        """Start empty; redis-py calls this in a forked child too, where the connections are the parent's."""
        self._at_hand: deque[Any] = deque()  # a deque and a set need no lock, which a fork could leave locked
        self._lent: set[Any] = set()
        super().reset()

    def get_connection(self, *_: Any, **__: Any) -> Any:
        """A connection that is ready for a command. Raises redis.RedisError when Redis cannot be reached."""
        connection: Any = self._take()
        if connection is None:
            connection = super().get_connection()
            connection.spent = False  # it is new, or was closed when it went back to redis-py's own pool
            self._lent.add(connection)
            return connection
        self._lent.add(connection)
        try:
            if connection.spent:
                connection.spent = False
                connection.disconnect()
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
        if connection.spent:
            spend(self._at_hand)
            spend(self._lent)
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


class AsyncPool(redis.asyncio.ConnectionPool):
    """Redis-py's pool for asyncio. Its connections, too, connect anew after one has met a server that is no master."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        kind: Any = self.connection_class
        self.connection_class = hanging_up(kind)

    async def ensure_connection(self, connection: Any) -> None:
        """Connect, anew if need be."""
        if connection.spent:
            connection.spent = False
            await connection.disconnect(nowait=True)
        await super().ensure_connection(connection)

    async def release(self, connection: Any) -> None:
        """Take a connection back."""
        if connection.spent:
            spend(self._available_connections)
            spend(self._in_use_connections)
        await super().release(connection)


class AsyncSentinelPool(AsyncPool, AsyncSentinelConnectionPool):
    """The same for the master that Sentinels name."""


def _is_stale(connection: Any) -> bool:
    """Whether an idle connection has something to read: the rest of another's answer, or the server's good-bye."""
    try:
        return bool(connection.can_read())
    except (redis.ConnectionError, redis.TimeoutError, OSError):
        return True

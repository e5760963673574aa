"""The pool behind a client of `connect`: as many connections as it may have, and a shorter way than redis-py's to them.

What redis-py counts and locks around every command costs as much as half of a push. Its pools that wait are not used:
whoever comes at the right moment is served before those who wait, and a thread stopped at the wrong one takes a
connection away for good.
"""

from __future__ import annotations

import os
import threading
from typing import Any
from weakref import WeakValueDictionary

import redis
from redis.sentinel import SentinelConnectionPool

from pykiq.store.demotion import hanging_up, spend
from pykiq.store.exhausted import PATIENCE, exhausted
from pykiq.store.permits import Permits


class Pool(redis.ConnectionPool):
    """A connection that comes back stays at hand for the next one who asks, from whatever thread.

    When all are in use, whoever asks waits for `patience` seconds, first come, first served. As in redis-py's pool, a
    connection that the server closed while it was idle is noticed before anything is sent, and connects anew. So does
    one that has met a server which is no master, and with it all the others, which lead there too.
    """

    patience = PATIENCE

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.connection_class = hanging_up(self.connection_class)

    def reset(self) -> None:
        """Start empty; redis-py calls this in a forked child too, where the connections are the parent's."""
        self._permits = Permits(self.max_connections)
        self._made: WeakValueDictionary[int, Any] = WeakValueDictionary()
        super().reset()

    def get_connection(self, *_: Any, **__: Any) -> Any:
        """A connection that is ready for a command.

        Raises redis.RedisError when Redis cannot be reached, or when there is no connection to be had.
        """
        if self.pid != os.getpid():
            self._checkpid()
        permit = self._permits.take() or self._permits.wait(self.patience)
        if permit is None:
            raise self._exhausted()
        connection = permit.connection
        if connection is None:
            connection = self.connection_class(**self.connection_kwargs)
            self._made[id(connection)] = connection
        permit.connection = None
        permit.thread = threading.get_ident()
        connection.permit = permit
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
        """Take a connection back; one that is back already, another pool's, or the parent's of a fork is ignored."""
        permit = vars(connection).pop("permit", None)  # in one step: of two who give it back, one does
        if permit is None:
            return
        if permit.home() is not self._permits:
            connection.permit = permit
            return
        if connection.spent:
            spend(self._connections())
        if self.owns_connection(connection):
            permit.connection = connection
        else:
            connection.disconnect()  # another master was found meanwhile
        self._permits.put(permit)

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the idle connections, and the others too unless told otherwise."""
        self._checkpid()
        idle = self._permits.take_all()
        try:
            for permit in idle:
                if permit.connection is not None:
                    permit.connection.disconnect()
            if inuse_connections:
                for connection in self._connections():
                    connection.disconnect()
        finally:
            for permit in idle:
                self._permits.put(permit)

    def _connections(self) -> list[Any]:
        """All that there are, idle or in use."""
        return [connection for kept in self._made.valuerefs() if (connection := kept()) is not None]

    def _exhausted(self) -> redis.ConnectionError:
        permits = [getattr(connection, "permit", None) for connection in self._connections()]
        threads = [permit.thread for permit in permits if permit is not None]
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        return exhausted(
            self.max_connections,
            [names.get(thread, "a thread that has ended") for thread in threads],
            threads.count(threading.get_ident()),
            "thread",
            self.patience,
        )


class SentinelPool(Pool, SentinelConnectionPool):
    """The same for the master that Sentinels name."""


def _is_stale(connection: Any) -> bool:
    """Whether an idle connection has something to read: the rest of another's answer, or the server's good-bye."""
    try:
        return bool(connection.can_read())
    except (redis.ConnectionError, redis.TimeoutError, OSError):
        return True

"""The pool behind a client of `aconnect`, the same for asyncio. It belongs to the event loop that it is used on.

Redis-py's own that waits serves whoever comes at the right moment before those who wait, and a task that is cancelled
just when it is told of a connection takes the news with it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any

import redis.asyncio
from redis.asyncio.sentinel import SentinelConnectionPool

from pykiq.store.demotion import hanging_up, spend
from pykiq.store.exhausted import PATIENCE, exhausted


class AsyncPool(redis.asyncio.ConnectionPool):
    """When all connections are in use, whoever asks waits for `patience` seconds, first come, first served.

    Between two `await`s nothing else runs on a loop: nothing here needs a lock, and who gives a connection back has
    done so at once. Its connections, too, connect anew after one has met a server that is no master.
    """

    patience = PATIENCE

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        kind: Any = self.connection_class
        self.connection_class = hanging_up(kind)
        self._waiting: deque[asyncio.Future[Any]] = deque()

    async def get_connection(self, *_: Any, **__: Any) -> Any:
        """A connection that is ready for a command.

        Raises redis.RedisError when Redis cannot be reached, or when there is no connection to be had.
        """
        connection = self._take() or await self._wait()
        connection.task = asyncio.current_task()
        try:
            await self.ensure_connection(connection)
        except BaseException:
            self._put(connection)
            raise
        return connection

    async def ensure_connection(self, connection: Any) -> None:
        """Connect, anew if need be."""
        if connection.spent:
            connection.spent = False
            await connection.disconnect(nowait=True)
        await super().ensure_connection(connection)

    async def release(self, connection: Any) -> None:
        """Take a connection back; one that is back already, or another pool's, is ignored."""
        self._put(connection)

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the idle connections, and the others too unless told otherwise."""
        in_use = list(self._in_use_connections) if inuse_connections else []
        idle, self._available_connections = self._available_connections, []
        self._in_use_connections.update(idle)  # nobody else may take one while it is being closed
        closing = [self._close(connection) for connection in idle]
        closed = await asyncio.gather(*closing, *(one.disconnect() for one in in_use), return_exceptions=True)
        for error in closed:
            if isinstance(error, BaseException):
                raise error

    async def _close(self, connection: Any) -> None:
        try:
            await connection.disconnect()
        finally:
            self._put(connection)

    def _take(self) -> Any:
        """A connection that is idle or new; None when there is none. While others wait there is none."""
        if self._available_connections:
            connection: Any = self._available_connections.pop()
        elif len(self._in_use_connections) < self.max_connections:
            connection = self.make_connection()  # type: ignore[no-untyped-call]
        else:
            return None
        self._in_use_connections.add(connection)
        return connection

    def _put(self, connection: Any) -> None:
        if connection not in self._in_use_connections:
            return
        connection.task = None
        if connection.spent:
            spend(self._available_connections)
            spend(self._in_use_connections)
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():  # it has given up, and just not left yet
                place.set_result(connection)
                return
        self._in_use_connections.remove(connection)
        self._available_connections.append(connection)

    async def _wait(self) -> Any:
        """The connection that comes back when this task's turn has come."""
        loop = asyncio.get_running_loop()
        place: asyncio.Future[Any] = loop.create_future()
        self._waiting.append(place)
        patience = loop.call_later(self.patience, self._give_up, place, asyncio.current_task())
        try:
            return await place
        except BaseException:
            if place.done() and not place.cancelled() and place.exception() is None:
                self._put(place.result())  # it was cancelled between being given one and hearing of it
            raise
        finally:
            patience.cancel()
            with suppress(ValueError):  # not there any more: it has been given one
                self._waiting.remove(place)

    def _give_up(self, place: asyncio.Future[Any], task: asyncio.Task[Any] | None) -> None:
        if place.done():
            return
        holders = [vars(one).get("task") for one in self._in_use_connections]
        names = [holder.get_name() if holder else "a task that has ended" for holder in holders]
        place.set_exception(exhausted(self.max_connections, names, holders.count(task), "task", self.patience))


class AsyncSentinelPool(AsyncPool, SentinelConnectionPool):
    """The same for the master that Sentinels name."""

"""A server that is no master, or not ready: what it answers then, and the connections that hang up on it.

Where a DNS name, a virtual address or a proxy leads to the master and no Sentinel closes anything, connections to a
master that was demoted stay open for ever, and every write on them is refused. So whoever hears such a refusal hangs
up, and the next command connects to wherever the name leads by then.

All these refusals come before anything is carried out. What was refused has written nothing, and may be sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeVar

import redis
import redis.asyncio.connection
from redis.client import Pipeline

from pykiq.store.refusals import is_demoted

T = TypeVar("T")


def once_more(work: Callable[[], T]) -> T:
    """What `work` returns. When it is refused as above it is done again, once: then on a new connection.

    `work` must be one command, one script or one transaction, which a refusal leaves undone as a whole.
    """
    try:
        return work()
    except redis.RedisError as error:
        if not is_demoted(error):
            raise
    return work()


class _HangsUp:
    """A connection that remembers such a refusal; its pool closes it before it is used again.

    Not at once: in a pipeline more answers follow. Redis-py's connections of Sentinels do close at once, and the
    answers of the other commands are lost, so their way of reading is passed by.
    """

    spent = False

    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return redis.connection.AbstractConnection.read_response(self, *args, **options)  # type: ignore[arg-type]
        except redis.RedisError as error:
            self.spent = self.spent or is_demoted(error)
            raise


class _AsyncHangsUp:
    """The same for asyncio."""

    spent = False

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await redis.asyncio.connection.AbstractConnection.read_response(self, *args, **options)  # type: ignore[arg-type]
        except redis.RedisError as error:
            self.spent = self.spent or is_demoted(error)
            raise


@cache
def hanging_up(connection_class: Any) -> Any:
    """The class of connections that is `connection_class` and hangs up."""
    asynchronous = issubclass(connection_class, redis.asyncio.connection.AbstractConnection)
    return type(connection_class.__name__, (_AsyncHangsUp if asynchronous else _HangsUp, connection_class), {})


def spend(connections: Iterable[Any]) -> None:
    """The other connections of a pool lead to the same server: they are not used again either."""
    for connection in list(connections):
        connection.spent = True


class Watch:
    """Tells whether a client that reads for long still reads from a master: a replica refuses it nothing.

    What a replica tells may be old, of one that was a master and has been cut off from the new one for ever.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._was_master = False

    def reads_master(self) -> bool:
        """Ask; a server that was a master and is none any more is hung up on, and the next one asked.

        One that never was a master is what the user has named. Raises redis.RedisError.
        """
        if self._is_master():
            self._was_master = True
            return True
        if not self._was_master:
            return False
        self._client.connection_pool.disconnect()
        return self._is_master()

    def _is_master(self) -> bool:
        try:
            answer: Any = self._client.info("replication")
        except redis.ResponseError:  # an ACL may forbid it
            return True
        return bool(answer.get("role", "master") == "master")


class Redis(redis.Redis):
    """A client whose single commands and transactions are given once more when they were refused as above.

    Other pipelines are not: of their commands some may have been carried out before the others were refused.
    """

    def execute_command(self, *args: Any, **options: Any) -> Any:
        execute: Any = super().execute_command
        return once_more(lambda: execute(*args, **options))

    def pipeline(self, transaction: Any = True, shard_hint: Any = None) -> Any:
        """As redis-py's."""
        kind = _Transaction if transaction else Pipeline
        return kind(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class _Transaction(Pipeline):
    def execute(self, raise_on_error: bool = True) -> list[Any]:
        commands = list(self.command_stack)
        execute = super().execute

        def run() -> list[Any]:
            self.command_stack = list(commands)  # `execute` forgets them
            return execute(raise_on_error)

        return once_more(run)


class AsyncRedis(redis.asyncio.Redis):
    """The same for asyncio, but for transactions: there are none."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        execute: Any = super().execute_command
        try:
            return await execute(*args, **options)
        except redis.RedisError as error:
            if not is_demoted(error):
                raise
        return await execute(*args, **options)

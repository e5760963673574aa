"""Connections to Redis: one place that turns `Config.redis` into clients, with the settings a job system needs.

No client made here repeats by itself what may have been carried out: whether that is safe is for the caller to know (a
settlement may be repeated, a push may not). `demotion` tells what is repeated, and when.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import MasterNotFoundError as AsyncMasterNotFoundError
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.connection import URL_QUERY_ARGUMENT_PARSERS, to_bool
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from pykiq.config import Config
from pykiq.errors import ConfigError, StoreError
from pykiq.store.demotion import AsyncRedis, Redis
from pykiq.store.pool import AsyncPool, AsyncSentinelPool, Pool, SentinelPool
from pykiq.version import __version__

try:
    import hiredis
except ImportError:  # docs/pythons.md: on a free-threaded Python it would switch the lock on
    hiredis = None  # type: ignore[assignment]

SENTINEL_PORT = 26379
READ_SIZE = 65_536  # bytes

_TYPED: dict[str, Any] = {"ssl": to_bool, **URL_QUERY_ARGUMENT_PARSERS}


def connect(config: Config, *, timeout: float = 5.0, connecting: float | None = None) -> redis.Redis:
    """A client for `config.redis`. It connects at its first command.

    `timeout` (s) bounds an answer; `connecting` (s, or the same) bounds connecting, and what the Sentinels answer.
    """
    connecting = timeout if connecting is None else connecting
    options: dict[str, Any] = _options(config, timeout, connecting) | {"retry": Retry(NoBackoff(), 0)}
    if "+sentinel:" not in config.redis:
        return Redis.from_pool(Pool.from_url(config.redis, **options))
    nodes, service, rest = _sentinel(config)
    sentinel: Any = _Sentinels(  # type: ignore[no-untyped-call]
        nodes, sentinel_kwargs=rest.pop("sentinel") | options | {"socket_timeout": connecting}, **rest, **options
    )
    master: redis.Redis = sentinel.master_for(service, redis_class=Redis, connection_pool_class=SentinelPool)
    return master


def aconnect(config: Config, *, timeout: float = 5.0) -> redis.asyncio.Redis:
    """The same for asyncio."""
    options: dict[str, Any] = _options(config, timeout, timeout) | {"retry": AsyncRetry(NoBackoff(), 0)}
    if "+sentinel:" not in config.redis:
        return AsyncRedis.from_pool(AsyncPool.from_url(config.redis, **options))
    nodes, service, rest = _sentinel(config)
    sentinel: Any = _AsyncSentinels(  # type: ignore[no-untyped-call]
        nodes, sentinel_kwargs=rest.pop("sentinel") | options, **rest, **options
    )
    master: redis.asyncio.Redis = sentinel.master_for(
        service, redis_class=AsyncRedis, connection_pool_class=AsyncSentinelPool
    )
    return master


def close(client: redis.Redis) -> None:
    """Close a client of `connect`, and the connections to the Sentinels it asked."""
    client.close()
    for node in _sentinels(client):
        node.close()


async def aclose(client: redis.asyncio.Redis) -> None:
    """The same for asyncio."""
    await client.aclose()
    for node in _sentinels(client):
        await node.aclose()


def descriptor(connection: Any) -> int:
    """The file descriptor of a connected connection, to wait for its answer beside others.

    redis-py keeps its socket to itself and offers no other way to wait on more than one.
    """
    return int(connection._sock.fileno())


class Ear:
    """Reads the answers that come on a connected connection, of which redis-py has left none unread.

    It does what `read_response` does, without what redis-py does around it: half of the time from an answer to its
    bytes, when nothing of that is in the processor's caches because the process has slept.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._reader = (
            hiredis.Reader(protocolError=redis.InvalidResponse, replyError=redis.ResponseError) if hiredis else None
        )

    def read(self) -> Any:
        """The next answer; waits for it. Raises what Redis answers as an error, or redis.RedisError, or OSError."""
        if self._reader is None:
            return self._connection.read_response()
        while (answer := self._reader.gets()) is False:
            received = self._connection._sock.recv(READ_SIZE)
            if not received:
                raise redis.ConnectionError("the connection was closed")
            self._reader.feed(received)
        if isinstance(answer, redis.ResponseError):
            raise answer
        return answer


def forget(connection: Any) -> None:
    """Make a connection that is about to be closed drop what has not reached the server.

    The system would otherwise go on sending it, for minutes after a partition: a BLMOVE that nobody waits for any more.
    """
    if connection._sock is not None:
        with suppress(OSError):  # it is gone already
            connection._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class _Sentinels(Sentinel):
    """redis-py's own say, when they know no master, every setting of every Sentinel's connection."""

    def discover_master(self, service_name: str) -> Any:
        try:
            return super().discover_master(service_name)  # type: ignore[no-untyped-call]
        except MasterNotFoundError as error:
            raise MasterNotFoundError(_no_master(service_name, str(error))) from error


class _AsyncSentinels(AsyncSentinel):
    """The same for asyncio."""

    async def discover_master(self, service_name: str) -> Any:
        try:
            return await super().discover_master(service_name)
        except AsyncMasterNotFoundError as error:
            raise AsyncMasterNotFoundError(_no_master(service_name, str(error))) from error


def _no_master(service: str, told: str) -> str:
    reasons = {piece.rpartition("> - ")[2].rstrip(", ") for piece in told.split("<redis.") if "> - " in piece}
    return f"no Sentinel names a master called `{service}`" + "".join(f": {why}" for why in sorted(reasons))


def _sentinels(client: Any) -> list[Any]:
    manager = getattr(client.connection_pool, "sentinel_manager", None)
    return list(manager.sentinels) if manager else []


def probe(client: redis.Redis, config: Config) -> None:
    """Raise StoreError, in one line and without the password, when Redis does not answer."""
    try:
        client.ping()
    except (redis.RedisError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise StoreError(
            f"Redis at {config.redis_shown} does not answer ({reason}); "
            "check --redis or REDIS_URL and that the server is up"
        ) from error


def _options(config: Config, timeout: float, connecting: float) -> dict[str, Any]:
    over_a_network = not config.redis.lower().startswith("unix:")
    return {
        "protocol": 2,
        "socket_timeout": timeout,
        "socket_connect_timeout": connecting,
        "decode_responses": False,
        **({"socket_keepalive": True} if over_a_network else {}),
        **_introduction(),
    }


@cache
def _introduction() -> dict[str, Any]:
    """How a connection introduces itself: `lib-name=redis-py(pykiq_v1.2.3)` in Redis' CLIENT LIST.

    Left to itself redis-py looks its version up in the metadata of the installed package, for each connection again:
    half a megabyte of modules that parse e-mail, and 0.4 ms. Releases before 7.2 know no DriverInfo.
    """
    about = getattr(redis, "DriverInfo", None)
    if about is None:
        return {}
    return {"driver_info": about(lib_version=redis.__version__).add_upstream_driver("pykiq", __version__)}


def _sentinel(config: Config) -> tuple[list[tuple[str, int]], str, dict[str, Any]]:
    """Take `redis+sentinel://[user:password@]host[:port],host[:port]/service[/db]` apart.

    The login is the data servers'; the Sentinels' own is given as `?sentinel_username=…&sentinel_password=…`.
    """
    parts = urlsplit(config.redis)
    login, _, hosts = parts.netloc.rpartition("@")
    nodes = []
    for host in hosts.split(","):
        name, _, port = host.rpartition(":") if ":" in host else (host, "", str(SENTINEL_PORT))
        nodes.append((name, int(port)))
    service, _, db = parts.path.strip("/").partition("/")
    if not service:
        raise ConfigError(f"redis: {config.redis_shown} names no service; write redis+sentinel://host:26379/mymaster/0")
    rest: dict[str, Any] = {"db": int(db or 0), "sentinel": {}}
    if login:
        user, _, password = login.partition(":")
        rest |= {"username": unquote(user) or None, "password": unquote(password) or None}
    own, shared = _parameters(parts.query)
    if parts.scheme.startswith("rediss"):
        # Whose certificates are trusted is the same question for both; `sentinel_ssl=false` is for Sentinels without.
        tls = {name: value for name, value in shared.items() if name.startswith("ssl")}
        own = {"ssl": True, **tls, **own}
        shared["ssl"] = True
    return nodes, service, rest | {"sentinel": own} | shared


def _parameters(query: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Those that begin with `sentinel_`, without that, for the Sentinels' connections; the others for the servers'."""
    own: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, value in parse_qsl(query):
        of_sentinels = name.startswith("sentinel_")
        plain = name.removeprefix("sentinel_")
        parser: Callable[[str], Any] = _TYPED.get(plain, str)
        (own if of_sentinels else others)[plain] = parser(value)
    return own, others

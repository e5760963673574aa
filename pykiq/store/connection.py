"""Connections to Redis: one place that turns `Config.redis` into clients, with the settings a job system needs.

No client made here repeats by itself what may have been carried out: whether that is safe is for the caller to know (a
settlement may be repeated, a push may not). `demotion` tells what is repeated, and when.
"""

from __future__ import annotations

import codecs
import inspect
import os
import socket
import struct
from contextlib import suppress
from functools import cache
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import MasterNotFoundError as AsyncMasterNotFoundError
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.exceptions import AuthorizationError, NoPermissionError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from pykiq.config import Config
from pykiq.config.redis_parameters import FILES, TLS
from pykiq.config.redis_url import Address, parse
from pykiq.errors import ConfigError, StoreError
from pykiq.store.apool import AsyncPool, AsyncSentinelPool
from pykiq.store.demotion import AsyncRedis, Redis
from pykiq.store.exhausted import MAX_CONNECTIONS
from pykiq.store.pool import Pool, SentinelPool
from pykiq.version import __version__

try:
    import hiredis
except ImportError:  # docs/pythons.md: on a free-threaded Python it would switch the lock on
    hiredis = None  # type: ignore[assignment]

READ_SIZE = 65_536  # bytes

_KINDS = {
    "redis": redis.Connection,
    "rediss": redis.SSLConnection,
    "unix": redis.UnixDomainSocketConnection,
}
_ASYNC_KINDS = {
    "redis": redis.asyncio.Connection,
    "rediss": redis.asyncio.SSLConnection,
    "unix": redis.asyncio.UnixDomainSocketConnection,
}


def connect(config: Config, *, timeout: float = 5.0, connecting: float | None = None) -> redis.Redis:
    """A client for `config.redis`. It connects at its first command.

    `timeout` (s) bounds an answer; `connecting` (s, or the same) bounds connecting, and what the Sentinels answer.
    """
    address = _address(config)
    options: Any = _options(address, timeout, timeout if connecting is None else connecting) | {
        "retry": Retry(NoBackoff(), 0)
    }
    if not address.has_sentinels:
        kind: Any = _KINDS[address.scheme]
        return Redis.from_pool(Pool(connection_class=kind, **_place(address), **options))
    sentinel: Any = _Sentinels(  # type: ignore[no-untyped-call]
        address.hosts,
        sentinel_kwargs={
            **options,
            **_asked(address),
            "socket_timeout": options["socket_connect_timeout"],
            **address.sentinel_parameters,
        },
        **_login(address),
        **options,
    )
    master: redis.Redis = sentinel.master_for(address.service, redis_class=Redis, connection_pool_class=SentinelPool)
    return master


def aconnect(config: Config, *, timeout: float = 5.0) -> redis.asyncio.Redis:
    """The same for asyncio."""
    address = _address(config)
    _known_to_asyncio(address)
    options: Any = _options(address, timeout, timeout) | {"retry": AsyncRetry(NoBackoff(), 0)}
    if not address.has_sentinels:
        kind: Any = _ASYNC_KINDS[address.scheme]
        return AsyncRedis.from_pool(AsyncPool(connection_class=kind, **_place(address), **options))
    sentinel: Any = _AsyncSentinels(  # type: ignore[no-untyped-call]
        address.hosts,
        sentinel_kwargs={**options, **_asked(address), **address.sentinel_parameters},
        **_login(address),
        **options,
    )
    master: redis.asyncio.Redis = sentinel.master_for(
        address.service, redis_class=AsyncRedis, connection_pool_class=AsyncSentinelPool
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
    """Sends and reads on a connected connection, of which redis-py has left no answer unread.

    It does what `send_packed_command` and `read_response` do, without what redis-py does around them: half of the time
    from an answer to its bytes, when nothing of that is in the processor's caches because the process has slept.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self._reader = (
            hiredis.Reader(protocolError=redis.InvalidResponse, replyError=redis.ResponseError) if hiredis else None
        )
        self._at_once = 0  # flags of a read that does not wait
        if self._reader is not None and type(connection._sock) is socket.socket:
            self._at_once = socket.MSG_DONTWAIT
            _leave_timeouts_to_the_system(connection._sock)

    def send(self, packed: bytes) -> None:
        """Send commands. Raises OSError."""
        self.connection._sock.sendall(packed)

    def read(self) -> Any:
        """The next answer; waits for it. Raises what Redis answers as an error, or redis.RedisError, or OSError."""
        return self._read(0)

    def read_if_there(self) -> Any:
        """The same without waiting: BlockingIOError when nothing has come. Over TLS, and without hiredis, it waits."""
        return self._read(self._at_once)

    def _read(self, flags: int) -> Any:
        if self._reader is None:
            return self.connection.read_response()
        while (answer := self._reader.gets()) is False:
            received = self.connection._sock.recv(READ_SIZE, flags)
            if not received:
                raise redis.ConnectionError("the connection was closed")
            self._reader.feed(received)
        if isinstance(answer, redis.ResponseError):
            raise answer
        return answer

    def read_all(self) -> list[Any]:
        """All answers that have come; waits for the first bytes. Errors among them are answers like others."""
        if self._reader is None:
            answers = [self.connection.read_response()]
            while self.connection.can_read():
                answers.append(self.connection.read_response())
            return answers
        received = self.connection._sock.recv(READ_SIZE)
        if not received:
            raise redis.ConnectionError("the connection was closed")
        self._reader.feed(received)
        return list(iter(self._reader.gets, False))


def _leave_timeouts_to_the_system(connected: socket.socket) -> None:
    """Python keeps a time-out with a poll before each call; the system keeps it for nothing. Late is then OSError."""
    limit = connected.gettimeout()
    if limit:
        whole = int(limit)
        interval = struct.pack("ll", whole, int((limit - whole) * 1_000_000))
        connected.settimeout(None)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, interval)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, interval)


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


_REFUSALS = (redis.AuthenticationError, AuthorizationError, NoPermissionError)


def probe(client: redis.Redis, config: Config) -> None:
    """Raise StoreError, in one line and without the password, when Redis does not answer."""
    try:
        client.ping()
    except (redis.RedisError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if isinstance(error, _REFUSALS):
            what, remedy = "refuses this login", "check the user and the password of --redis or REDIS_URL"
            if isinstance(error, NoPermissionError):
                remedy = "allow it, as docs/redis-keys.md says: ACL SETUSER … +ping"
        else:
            what, remedy = "does not answer", "check --redis or REDIS_URL and that the server is up"
        raise StoreError(f"Redis at {config.redis_shown} {what} ({reason}); {remedy}") from error


def suits(client: Any, *, asynchronous: bool) -> None:
    """Raise ConfigError, in one line, when a redis-py client that is the user's own cannot be worked with."""
    commands = getattr(client, "execute_command", None)
    if commands is None or inspect.iscoroutinefunction(commands) is not asynchronous:
        raise ConfigError(
            f"a client was given {type(client).__module__}.{type(client).__qualname__} as its redis; expected a URL or "
            + ("redis.asyncio.Redis, or pykiq.Client" if asynchronous else "redis.Redis, or pykiq.AsyncClient")
        )
    encoder: Any = client.get_encoder()
    if encoder.decode_responses:
        raise ConfigError(
            "a client was given a redis-py client with decode_responses=True; expected one that answers bytes:"
            " payloads may hold any. Make one without it, or give the URL"
        )
    if codecs.lookup(encoder.encoding).name != "utf-8":
        raise ConfigError(
            f"a client was given a redis-py client with encoding={encoder.encoding!r}; expected utf-8, which names of"
            " queues are written in"
        )


def _address(config: Config) -> Address:
    """Where to connect to. Raises ConfigError for a file that cannot be read: the server would seem not to answer."""
    address = parse(config.redis)
    for prefix, parameters in (("", address.parameters), ("sentinel_", address.sentinel_parameters)):
        for name in FILES & parameters.keys():
            if not os.access(parameters[name], os.R_OK):
                raise ConfigError(
                    f"`{prefix}{name}` of the Redis URL {address.shown} is {parameters[name]!r};"
                    " expected a path that can be read"
                )
    return address


def _known_to_asyncio(address: Address) -> None:
    """Raise ConfigError for what older releases of redis-py can do, but for asyncio: `ssl_ca_path`, `ssl_password`."""
    known = inspect.signature(redis.asyncio.SSLConnection.__init__).parameters
    unknown = sorted(TLS.keys() & (address.parameters.keys() | address.sentinel_parameters.keys()) - known.keys())
    if unknown:
        raise ConfigError(
            f"`{unknown[0]}` of the Redis URL {address.shown} is unknown to redis-py {redis.__version__} in asyncio;"
            " expected a newer redis-py, or a URL without it"
        )


def _options(address: Address, timeout: float, connecting: float) -> dict[str, Any]:
    """What all connections have in common, to the Sentinels too. None of it can be had from a URL."""
    return {
        "protocol": 2,
        "socket_timeout": timeout,
        "socket_connect_timeout": connecting,
        "decode_responses": False,
        **({"socket_keepalive": True} if address.hosts else {}),
        **_introduction(),
    }


def _login(address: Address) -> dict[str, Any]:
    """What a connection to a server of data needs besides."""
    ssl = {"ssl": True} if address.over_tls and address.has_sentinels else {}
    login = {"db": address.db, "username": address.username, "password": address.password}
    return {**login, **ssl, "max_connections": MAX_CONNECTIONS, **address.parameters}


def _asked(address: Address) -> dict[str, Any]:
    """What a client of a Sentinel needs besides: all of our connections may ask it at once."""
    return {"max_connections": _login(address)["max_connections"]}


def _place(address: Address) -> dict[str, Any]:
    """The same for one that is reached without Sentinels."""
    if address.path:
        return {"path": address.path, **_login(address)}
    host, port = address.hosts[0]
    return {"host": host, "port": port, **_login(address)}


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

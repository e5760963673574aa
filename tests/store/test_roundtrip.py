"""The round trip: commands as Redis reads them, every answer to its own command."""

from __future__ import annotations

import asyncio
import enum
from typing import Any

import pytest
import redis as redis_py
from redis.connection import Connection

from pykiq.config import Config
from pykiq.store.connection import aclose, aconnect, connect
from pykiq.store.roundtrip import SHORT, around_trip, packed, packed_but_last, round_trip, with_last


class Name(str, enum.Enum):  # noqa: UP042 - the older way, whose str() is not its value
    LOW = "low"


def test_commands_are_packed_as_redis_py_packs_them() -> None:
    commands = [
        ("SADD", "queues", "défaut", Name.LOW),
        ("LPUSH", "queue:default", b"\xff\r\n", b"", b"x" * 100_000),
        ("ZADD", "schedule", 1_795_315_352.119, b"a", 10**20, b"b", -0.5, b"c"),
        ("SADD", "lengths", *("ü" * length for length in (SHORT - 1, SHORT, SHORT + 1)), *("ü" * SHORT,) * 2),
        ("SADD", "lengths", *(b"x" * length for length in (999, 1000, 1001))),
        ("SADD", "numbers", 0, 7, 999, 1000, -1, -1000, 1, 1.0),
    ]
    assert packed(commands) == b"".join(Connection().pack_commands(commands))


@pytest.mark.parametrize("last", [b"", b"job", b"\r\n$0\r\n\r\n", b"x" * 2000])
def test_a_command_can_be_packed_before_its_last_argument_is_known(last: bytes) -> None:
    assert with_last(packed_but_last(("LREM", "list", -1)), last) == packed([("LREM", "list", -1, last)])


def test_each_command_has_its_answer_and_a_refused_one_its_error(redis: redis_py.Redis) -> None:
    redis.set("text", "1")
    first, refused, last = round_trip(redis, [("INCR", "text"), ("LPUSH", "text", b"x"), ("GET", "text")])
    assert (first, last) == (2, b"2")
    assert isinstance(refused, redis_py.ResponseError)


async def test_asyncio_has_the_same_answers(redis: redis_py.Redis, redis_url: str) -> None:
    redis.set("text", "1")
    client = aconnect(Config.of(redis=redis_url))
    first, refused, last = await around_trip(client, [("INCR", "text"), ("LPUSH", "text", b"x"), ("GET", "text")])
    assert (first, last) == (2, b"2")
    assert isinstance(refused, redis_py.ResponseError)
    await aclose(client)


def test_what_was_not_read_is_not_the_next_ones_answer(
    redis: redis_py.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    with connect(Config.of(redis=redis_url)) as client:
        client.ping()
        connection = client.connection_pool.get_connection()
        client.connection_pool.release(connection)
        with monkeypatch.context() as patch:
            patch.setattr(connection, "read_response", interrupted)
            with pytest.raises(KeyboardInterrupt):
                round_trip(client, [("BLPOP", "empty", 0.05)])
        assert round_trip(client, [("ECHO", "mine")]) == [b"mine"]


async def test_what_was_not_read_is_not_the_next_ones_answer_in_asyncio(
    redis: redis_py.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cancelled(**_: object) -> None:
        raise asyncio.CancelledError

    client = aconnect(Config.of(redis=redis_url))
    connection: Any = await client.connection_pool.get_connection()
    await client.connection_pool.release(connection)
    with monkeypatch.context() as patch:
        patch.setattr(connection, "read_response", cancelled)
        with pytest.raises(asyncio.CancelledError):
            await around_trip(client, [("BLPOP", "empty", 0.05)])
    assert await around_trip(client, [("ECHO", "mine")]) == [b"mine"]
    await aclose(client)


async def test_a_server_that_does_not_answer_in_time_is_told_in_asyncio_and_the_limit_is_that_of_every_command(
    redis: redis_py.Redis, redis_url: str
) -> None:
    client = aconnect(Config.of(redis=redis_url), timeout=0.1)
    for _ in range(2):
        with pytest.raises(redis_py.TimeoutError, match=r"not answered within 0\.1 s"):
            await around_trip(client, [("PING",), ("BLPOP", "empty", 30)])
        with pytest.raises(redis_py.TimeoutError, match="Timeout reading"):
            await client.execute_command("BLPOP", "empty", 30)
    assert await around_trip(client, [("ECHO", "mine")]) == [b"mine"]
    await aclose(client)

"""The pool for asyncio: a limit that is waited at, first come, first served, and nobody takes a connection away."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis as redis_py
from redis.exceptions import MaxConnectionsError

import pykiq
from pykiq.config import Config
from pykiq.store.connection import aclose, aconnect

JOB: dict[str, Any] = {"class": "HardJob", "args": [1]}


@asynccontextmanager
async def few(redis_url: str, count: int, patience: float = 30.0) -> AsyncIterator[tuple[Any, Any]]:
    """A client with `count` connections, which waits for one for `patience` seconds; and its pool."""
    client = aconnect(Config.of(redis=f"{redis_url}?max_connections={count}"))
    pool: Any = client.connection_pool
    pool.patience = patience
    try:
        yield client, pool
    finally:
        await aclose(client)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


async def in_line(pool: Any, count: int, *, already: int = 0) -> list[asyncio.Task[Any]]:
    """Tasks that wait for a connection."""
    tasks = [asyncio.create_task(pool.get_connection(), name=f"waiter-{number}") for number in range(count)]
    await until(lambda: len(pool._waiting) == already + count)
    return tasks


async def ask(connection: Any, *command: str) -> Any:
    await connection.send_command(*command)
    return await connection.read_response()


async def test_three_hundred_pushes_at_once_share_a_hundred_connections(redis_url: str, redis: redis_py.Redis) -> None:
    before = redis.info("stats")["total_connections_received"]
    async with pykiq.AsyncClient(Config.of(redis=redis_url)) as client:
        jids = await asyncio.gather(*(client.push(JOB) for _ in range(300)))
    assert len(set(jids)) == 300
    assert redis.llen("queue:default") == 300
    assert redis.info("stats")["total_connections_received"] - before <= 100


async def test_more_tasks_than_connections_share_them(redis_url: str, redis: redis_py.Redis) -> None:
    before = redis.info("stats")["total_connections_received"]
    async with few(redis_url, 3) as (client, _):
        answers = await asyncio.gather(*(client.incr("counted") for _ in range(200)))
    assert sorted(answers) == list(range(1, 201))
    assert redis.info("stats")["total_connections_received"] - before == 3


async def test_whoever_waits_longest_is_served_first_and_nobody_passes_them(redis_url: str) -> None:
    async with few(redis_url, 1) as (_, pool):
        lent = await pool.get_connection()
        tasks = await in_line(pool, 3)
        for task in tasks:
            await pool.release(lent)
            newcomer = asyncio.create_task(pool.get_connection())
            lent = await task
            assert not newcomer.done()
            newcomer.cancel()
        await pool.release(lent)


async def test_who_waits_too_long_is_told_for_what_and_who_has_it(redis_url: str, redis: redis_py.Redis) -> None:
    async with few(redis_url, 2, patience=0.05) as (client, pool):
        lent = [
            await asyncio.create_task(pool.get_connection(), name="holder"),
            await pool.get_connection(),
        ]
        with pytest.raises(MaxConnectionsError) as told:
            await asyncio.create_task(client.ping(), name="asks")
        me = asyncio.current_task()
        assert me is not None
        assert str(told.value) in {
            f"all 2 connections to Redis are in use by the tasks {first}, {second}; waited 0.05 s for one, and nothing"
            " was sent: raise `max_connections` in the Redis URL, or push fewer at once"
            for first, second in (("holder", me.get_name()), (me.get_name(), "holder"))
        }
        with pytest.raises(MaxConnectionsError, match="1 of them by this very task, which waits for itself"):
            await client.ping()
        await pool.release(lent[0])
        assert await client.ping()


async def test_a_task_that_is_cancelled_while_it_waits_leaves_the_line(redis_url: str) -> None:
    async with few(redis_url, 1) as (_, pool):
        lent = await pool.get_connection()
        gone, stays = await in_line(pool, 2)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        await pool.release(lent)
        assert await stays is lent
        assert not pool._waiting


async def test_a_task_that_is_cancelled_just_when_it_is_given_one_hands_it_on(redis_url: str) -> None:
    async with few(redis_url, 1) as (_, pool):
        lent = await pool.get_connection()
        gone, stays = await in_line(pool, 2)
        await pool.release(lent)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert await stays is lent


async def test_a_task_that_is_cancelled_while_it_connects_hands_its_connection_on(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with few(redis_url, 1) as (_, pool):
        connecting = asyncio.Event()

        async def hang() -> None:
            connecting.set()
            await asyncio.Event().wait()

        lent = await pool.get_connection()
        gone, stays = await in_line(pool, 2)
        with monkeypatch.context() as patch:
            patch.setattr(lent, "connect", hang)
            await pool.release(lent)
            await connecting.wait()
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert await stays is lent


async def test_a_connection_that_is_given_back_twice_has_one_borrower(redis_url: str) -> None:
    async with few(redis_url, 2) as (_, pool):
        lent = await pool.get_connection()
        await pool.release(lent)
        await pool.release(lent)
        assert await pool.get_connection() is not await pool.get_connection()


async def test_a_connection_that_breaks_goes_to_the_next_one_who_waits_and_connects_anew(
    redis_url: str, redis: redis_py.Redis
) -> None:
    async with few(redis_url, 1) as (client, pool):
        lent = await pool.get_connection()
        waiting = [asyncio.create_task(client.incr("counted")) for _ in range(3)]
        await until(lambda: len(pool._waiting) == 3)
        redis.client_kill_filter(_id=await ask(lent, "CLIENT", "ID"))
        with pytest.raises((redis_py.ConnectionError, OSError)):
            await ask(lent, "PING")
        await pool.release(lent)
        assert await asyncio.gather(*waiting) == [1, 2, 3]


async def test_when_connecting_fails_everyone_who_waits_is_told_and_the_connection_is_not_lost(
    redis_url: str, redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse() -> None:
        raise redis_py.ConnectionError("refused")

    async with few(redis_url, 1) as (client, pool):
        lent = await pool.get_connection()
        tasks = await in_line(pool, 3)
        with monkeypatch.context() as patch:
            patch.setattr(lent, "connect", refuse)
            await pool.release(lent)
            for task in tasks:
                with pytest.raises(redis_py.ConnectionError, match="refused"):
                    await task
        assert await client.ping()


async def test_nobody_is_given_a_connection_that_is_being_closed(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with few(redis_url, 1) as (_, pool):
        lent = await pool.get_connection()
        await pool.release(lent)
        closing, closed = asyncio.Event(), asyncio.Event()

        async def slow(*_: object, **__: object) -> None:
            closing.set()
            await closed.wait()

        with monkeypatch.context() as patch:
            patch.setattr(lent, "disconnect", slow)
            disconnecting = asyncio.create_task(pool.disconnect(inuse_connections=False))
            await closing.wait()
            (waiter,) = await in_line(pool, 1)
            assert not waiter.done()
            closed.set()
            await disconnecting
        assert await waiter is lent


def test_a_loop_that_ends_while_tasks_wait_leaves_nothing_to_the_next_one(
    redis_url: str, redis: redis_py.Redis
) -> None:
    client = pykiq.AsyncClient(Config.of(redis=f"{redis_url}?max_connections=1", wire="8"))

    async def ends_early() -> None:
        pool: Any = (await client._redis()).connection_pool
        await pool.get_connection()
        for _ in range(3):
            asyncio.create_task(client.push(JOB))  # noqa: RUF006
        await until(lambda: pool._waiting)

    asyncio.run(ends_early())
    assert client._own == {}
    assert asyncio.run(client.push(JOB))
    assert redis.llen("queue:default") == 1


def test_a_child_forked_while_all_are_lent_has_its_own(redis_url: str, redis: redis_py.Redis) -> None:
    client = pykiq.AsyncClient(Config.of(redis=f"{redis_url}?max_connections=1", wire="8"))
    loop = asyncio.new_event_loop()
    try:
        pool: Any = loop.run_until_complete(client._redis()).connection_pool
        lent = loop.run_until_complete(pool.get_connection())
        child = os.fork()
        if child == 0:
            try:
                asyncio.run(asyncio.wait_for(client.push(JOB), 10))
                os._exit(0)
            finally:
                os._exit(4)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        loop.run_until_complete(pool.release(lent))
        assert loop.run_until_complete(client.push(JOB))
        loop.run_until_complete(client.close())
    finally:
        loop.close()
    assert redis.llen("queue:default") == 2

"""Batching: pushes of one turn of the loop are one round trip, and to each of them it is as if it were alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest
import redis as redis_py

import pykiq
from pykiq.store import batching
from pykiq.store.batching import LARGE

SCHEDULED = {"at": 4_000_000_000}


@pytest.fixture
async def client(redis_url: str, redis: redis_py.Redis) -> AsyncIterator[pykiq.AsyncClient]:
    async with pykiq.AsyncClient(pykiq.Config.of(redis=redis_url, wire="8")) as client:
        await client.push({"class": "FirstJob", "args": [], "queue": "first"})
        redis.config_resetstat()
        yield client


def job(number: int, **options: Any) -> dict[str, Any]:
    return {"class": "HardJob", "args": [number], **options}


def calls(redis: redis_py.Redis) -> dict[str, int]:
    stats = {name.removeprefix("cmdstat_"): found["calls"] for name, found in redis.info("commandstats").items()}
    return {name: stats[name] for name in ("sadd", "lpush", "zadd") if name in stats}


def numbers(redis: redis_py.Redis, queue: str = "default") -> list[int]:
    """The arguments of a queue's jobs, in the order in which they run."""
    return [json.loads(raw)["args"][0] for raw in reversed(redis.lrange(f"queue:{queue}", 0, -1))]


async def outcomes(*pushes: Awaitable[Any]) -> list[Any]:
    return await asyncio.gather(*pushes, return_exceptions=True)


async def test_pushes_at_the_same_time_are_one_round_trip_and_keep_their_order(
    client: pykiq.AsyncClient, redis: redis_py.Redis
) -> None:
    jids = await asyncio.gather(*(client.push(job(number)) for number in range(300)))
    assert calls(redis) == {"sadd": 1, "lpush": 1}
    assert numbers(redis) == list(range(300))
    assert [json.loads(raw)["jid"] for raw in reversed(redis.lrange("queue:default", 0, -1))] == jids


async def test_each_queue_and_the_schedule_are_one_command(client: pykiq.AsyncClient, redis: redis_py.Redis) -> None:
    await asyncio.gather(
        *(client.push(job(number, queue=("low", "high")[number % 2])) for number in range(10)),
        *(client.push(job(number, **SCHEDULED)) for number in range(10)),
    )
    assert calls(redis) == {"sadd": 1, "lpush": 2, "zadd": 1}
    assert (numbers(redis, "low"), numbers(redis, "high")) == ([0, 2, 4, 6, 8], [1, 3, 5, 7, 9])
    assert redis.zcard("schedule") == 10
    assert redis.smembers("queues") == {b"first", b"low", b"high"}


async def test_scheduled_jobs_alone_name_no_queue(client: pykiq.AsyncClient, redis: redis_py.Redis) -> None:
    await asyncio.gather(*(client.push(job(number, **SCHEDULED)) for number in range(3)))
    assert calls(redis) == {"zadd": 1}


async def test_only_those_whose_command_is_refused_are_told(client: pykiq.AsyncClient, redis: redis_py.Redis) -> None:
    redis.set("queue:broken", "no list")
    redis.set("schedule", "no sorted set")
    first, broken, scheduled, last = await outcomes(
        client.push(job(1)), client.push(job(2, queue="broken")), client.push(job(3, **SCHEDULED)), client.push(job(4))
    )
    for refused in (broken, scheduled):
        assert isinstance(refused, redis_py.ResponseError)
        assert "WRONGTYPE" in str(refused)
    assert isinstance(first, str)
    assert isinstance(last, str)
    assert numbers(redis) == [1, 4]


async def test_a_refusal_to_name_the_queues_is_told_to_all_but_the_scheduled_ones(
    client: pykiq.AsyncClient, redis: redis_py.Redis
) -> None:
    redis.set("queues", "no set")
    first, scheduled, last = await outcomes(client.push(job(1)), client.push(job(2, **SCHEDULED)), client.push(job(3)))
    assert [type(one) for one in (first, scheduled, last)] == [redis_py.ResponseError, str, redis_py.ResponseError]


async def test_when_the_connection_breaks_each_is_told_by_an_error_of_its_own(
    client: pykiq.AsyncClient, redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise redis_py.ConnectionError("broken")

    with monkeypatch.context() as patch:
        patch.setattr("pykiq.store.push.around_trip", broken)
        errors = await outcomes(*(client.push(job(number)) for number in range(3)))
    assert [type(error) for error in errors] == [redis_py.ConnectionError] * 3
    assert len(set(map(id, errors))) == 3
    await client.push(job(4))
    assert numbers(redis) == [4]


@pytest.mark.parametrize("gone", [0, 1, 2])
async def test_one_that_is_cancelled_before_it_is_sent_writes_nothing_and_stops_no_other(
    client: pykiq.AsyncClient, redis: redis_py.Redis, gone: int
) -> None:
    tasks = [asyncio.create_task(client.push(job(number))) for number in range(3)]
    await asyncio.sleep(0)
    tasks[gone].cancel()
    done = await outcomes(*tasks)
    assert [isinstance(one, asyncio.CancelledError) for one in done] == [number == gone for number in range(3)]
    assert numbers(redis) == [number for number in range(3) if number != gone]


async def test_when_all_are_cancelled_nothing_is_sent(client: pykiq.AsyncClient, redis: redis_py.Redis) -> None:
    tasks = [asyncio.create_task(client.push(job(number))) for number in range(3)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    assert {type(one) for one in await outcomes(*tasks)} == {asyncio.CancelledError}
    await client.push(job(4))
    assert numbers(redis) == [4]


async def test_one_that_is_cancelled_while_it_is_sent_stops_no_other(
    client: pykiq.AsyncClient, redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, go_on = asyncio.Event(), asyncio.Event()
    real = batching.apush_together

    async def slow(*args: Any) -> Any:
        sent.set()
        await go_on.wait()
        return await real(*args)

    monkeypatch.setattr(batching, "apush_together", slow)
    tasks = [asyncio.create_task(client.push(job(number))) for number in range(3)]
    await sent.wait()
    tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    go_on.set()
    assert all([await task for task in tasks[1:]])
    assert numbers(redis) == [0, 1, 2], "it was on its way"


async def test_a_push_that_is_closed_and_not_cancelled_leaves_nobody_waiting(
    client: pykiq.AsyncClient, redis: redis_py.Redis
) -> None:
    closed: Any = client.push(job(0))
    closed.send(None)
    other = asyncio.create_task(client.push(job(1)))
    await asyncio.sleep(0)
    closed.close()
    assert await asyncio.wait_for(other, 10)
    assert numbers(redis) == [1]


async def test_a_large_push_travels_alone(client: pykiq.AsyncClient, redis: redis_py.Redis) -> None:
    await asyncio.gather(
        client.push(job(1)), client.push({"class": "LargeJob", "args": ["x" * LARGE]}), client.push(job(2))
    )
    assert calls(redis) == {"sadd": 2, "lpush": 2}


async def test_a_round_trip_has_a_limit_in_jobs_and_in_bytes(
    client: pykiq.AsyncClient, redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(batching, "MOST_PUSHES", 4)
        await asyncio.gather(*(client.push(job(number)) for number in range(10)))
        assert calls(redis)["lpush"] == 3
        redis.config_resetstat()
    monkeypatch.setattr(batching, "MOST_BYTES", 100_000)
    await asyncio.gather(*(client.push({"class": "LargeJob", "args": ["x" * 40_000]}) for _ in range(4)))
    assert calls(redis)["lpush"] == 2


async def test_however_many_push_at_once_the_fleet_is_read_once(redis_url: str, redis: redis_py.Redis) -> None:
    redis.sadd("processes", "app:1:a")
    redis.hset("app:1:a", "info", '{"version":"8.1.7"}')
    async with pykiq.AsyncClient(pykiq.Config.of(redis=redis_url)) as client:
        redis.config_resetstat()
        await asyncio.gather(*(client.push(job(number)) for number in range(50)))
    stats = redis.info("commandstats")
    assert stats["cmdstat_smembers"]["calls"] == 1
    assert {type(json.loads(raw)["created_at"]) for raw in redis.lrange("queue:default", 0, -1)} == {int}


async def test_who_reads_the_fleet_for_others_may_be_cancelled(redis_url: str, redis: redis_py.Redis) -> None:
    async with pykiq.AsyncClient(pykiq.Config.of(redis=redis_url)) as client:
        first, second = (asyncio.create_task(client.push(job(number))) for number in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second
        with pytest.raises(asyncio.CancelledError):
            await first
    assert numbers(redis) == [1]


async def test_a_client_of_ones_own_is_batched_too(redis_url: str, redis: redis_py.Redis) -> None:
    async with redis_py.asyncio.from_url(redis_url, max_connections=1) as given:
        client = pykiq.AsyncClient(pykiq.Config.of(wire="8"), redis=given)
        await asyncio.gather(*(client.push(job(number)) for number in range(50)))
    assert numbers(redis) == list(range(50))

"""The client for asyncio against a real server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import redis as redis_py
import redis.asyncio as aioredis

import pykiq
from pykiq.errors import PayloadError
from pykiq.middleware.chain import Chain

PUSH: dict[str, Any] = {"class": "HardJob", "args": [1]}


def config(redis_url: str, **settings: Any) -> pykiq.Config:
    return pykiq.Config.of(redis=redis_url, **{"wire": "8", **settings})


async def test_push_push_bulk_and_enqueue_write_jobs(redis_url: str, redis: redis_py.Redis) -> None:
    async with pykiq.AsyncClient(config(redis_url)) as client:
        jids = [await client.push(PUSH), await client.enqueue("HardJob", 2)]
        jids += await client.push_bulk({"class": "HardJob", "args": ([n] for n in (3, 4, 5))}, batch_size=2)
        await client.push({**PUSH, "at": 2_000_000_000})
    jobs = [json.loads(raw) for raw in reversed(redis.lrange("queue:default", 0, -1))]
    assert [(job["args"], job["jid"]) for job in jobs] == list(zip([[1], [2], [3], [4], [5]], jids, strict=True))
    assert redis.zscore("schedule", redis.zrange("schedule", 0, -1)[0]) == 2_000_000_000
    assert redis.smembers("queues") == {b"default"}


async def test_a_url_is_where_redis_is(redis_url: str, redis: redis_py.Redis) -> None:
    nowhere = pykiq.Config.of(redis="redis://127.0.0.1:1/0", wire="7")
    async with pykiq.AsyncClient(nowhere, redis=redis_url) as client, pykiq.AsyncClient(redis=redis_url) as other:
        await client.push(PUSH)
        await other.push(PUSH)
    assert redis.llen("queue:default") == 2


async def test_asynchronous_middleware_runs_on_this_loop_around_each_push(
    redis_url: str, redis: redis_py.Redis
) -> None:
    here = asyncio.get_running_loop()

    async def stamp(job: dict[str, Any], call_next: Any) -> Any:
        assert asyncio.get_running_loop() is here
        await asyncio.sleep(0)
        if job["args"] == [4]:
            return None
        return await call_next({**job, "tenant": "acme"})

    def redirect(job: dict[str, Any], call_next: Any) -> Any:
        return call_next({**job, "queue": f"of-{job['tenant']}"})

    async with pykiq.AsyncClient(config(redis_url), middleware=Chain(stamp, redirect)) as client:
        first = await client.push(PUSH)
        jids = await client.push_bulk({"class": "HardJob", "args": ([n] for n in (3, 4, 5))}, batch_size=2)
        with pytest.raises(PayloadError, match="job 1 of the bulk"):
            await client.push_bulk({"class": "HardJob", "args": ([n] for n in (4, object()))})
    assert jids[1] is None
    jobs = [json.loads(raw) for raw in reversed(redis.lrange("queue:of-acme", 0, -1))]
    assert [(job["args"], job["jid"]) for job in jobs] == [([1], first), ([3], jids[0]), ([5], jids[2])]
    assert redis.smembers("queues") == {b"of-acme"}


async def test_the_dialect_follows_the_fleet(redis_url: str, redis: redis_py.Redis) -> None:
    redis.sadd("processes", "app:1:a")
    redis.hset("app:1:a", "info", '{"version":"8.1.7"}')
    async with pykiq.AsyncClient(config(redis_url, wire="auto")) as client:
        await client.push(PUSH)
    assert type(json.loads(redis.lindex("queue:default", 0))["created_at"]) is int


async def test_a_refused_job_and_an_absent_server_raise(redis_url: str, redis: redis_py.Redis) -> None:
    async with pykiq.AsyncClient(config(redis_url)) as client:
        with pytest.raises(PayloadError):
            await client.push({"class": "HardJob"})
    async with pykiq.AsyncClient(config("redis://127.0.0.1:1/0")) as client:
        with pytest.raises(redis_py.ConnectionError):
            await client.push(PUSH)
    assert redis.keys() == []


async def test_a_connection_that_died_while_idle_is_replaced_before_anything_is_sent(
    redis_url: str, redis: redis_py.Redis
) -> None:
    async with pykiq.AsyncClient(config(redis_url)) as client:
        await client.push(PUSH)
        redis.client_kill_filter(_type="normal", skipme=True)
        (connection,) = (await client._redis()).connection_pool._available_connections
        async with asyncio.timeout(10):  # idle means that the loop has had the time to hear of it
            while not connection._reader.at_eof():
                await asyncio.sleep(0)
        await client.push(PUSH)
    assert redis.llen("queue:default") == 2


async def test_a_given_redis_client_is_used_and_left_open(redis_url: str, redis: redis_py.Redis) -> None:
    async with aioredis.from_url(redis_url) as given:
        client = pykiq.AsyncClient(config("redis://127.0.0.1:1/0"), given)
        await client.push(PUSH)
        await client.close()
        assert await given.llen("queue:default") == 1


def test_one_client_may_be_used_on_one_loop_after_another_and_leaves_no_connection_behind(
    redis_url: str, redis: redis_py.Redis
) -> None:
    client = pykiq.AsyncClient(config(redis_url))
    before = len(redis.client_list())
    for _ in range(3):
        asyncio.run(client.push(PUSH))
        # Nobody closed the client: the end of the loop did.
        assert client._own == {}
        assert len(redis.client_list()) == before
    assert redis.llen("queue:default") == 3


async def test_many_tasks_share_one_client(redis_url: str, redis: redis_py.Redis) -> None:
    async with pykiq.AsyncClient(config(redis_url)) as client:
        await asyncio.gather(*(client.push(PUSH) for _ in range(100)))
    assert redis.llen("queue:default") == 100

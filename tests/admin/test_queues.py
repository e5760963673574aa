"""Queues under Ruby's names."""

from __future__ import annotations

import time

import pytest
import redis as redis_py

from pykiq import Client
from pykiq.admin import Queue
from tests.admin.conftest import packed


def test_every_queue_is_listed_with_its_size_and_latency(client: Client, redis: redis_py.Redis) -> None:
    redis.sadd("queues", "low", "empty")
    redis.lpush("queue:low", packed(1, enqueued_at=time.time() - 50), packed(2, enqueued_at=time.time()))
    empty, low = Queue.all(client)
    assert (low.name, low.id, low.size, len(low)) == ("low", "low", 2, 2)
    assert 50 <= low.latency < 110
    assert (empty.name, empty.size, empty.latency, bool(empty)) == ("empty", 0, 0.0, True)


def test_jobs_come_newest_first_and_can_be_deleted_on_the_way(client: Client, redis: redis_py.Redis) -> None:
    for n in range(1100):
        redis.lpush("queue:low", packed(n))
    seen = []
    for job in Queue("low", client):
        seen.append(job.args[0])
        if job.args[0] % 2:
            assert job.delete()
    assert seen == list(reversed(range(1100)))
    assert redis.llen("queue:low") == 550


def test_a_job_is_found_by_its_jid(client: Client, redis: redis_py.Redis) -> None:
    redis.lpush("queue:low", *[packed(n) for n in range(10)], b"not json")
    found = Queue("low", client).find_job(f"{3:024x}")
    assert found is not None
    assert found.args == [3]
    assert found.delete()
    assert not found.delete()
    assert Queue("low", client).find_job(f"{3:024x}") is None


def test_a_queue_is_cleared_as_ruby_clears_it(client: Client, redis: redis_py.Redis) -> None:
    redis.sadd("queues", "low")
    redis.lpush("queue:low", packed())
    Queue("low", client).clear()
    assert redis.keys("*") == []


def test_a_queue_is_paused_and_resumed(client: Client, redis: redis_py.Redis) -> None:
    low = Queue("low", client)
    assert low.pause()
    assert low.paused
    assert not Queue("high", client).paused
    assert low.unpause()
    assert not low.paused


def test_jobs_that_are_meant_are_deleted_in_one_pass(client: Client, redis: redis_py.Redis) -> None:
    redis.lpush("queue:low", *[packed(n) for n in range(1500)], b"not json")
    low = Queue("low", client)
    assert low.delete_if(lambda job: bool(job.args) and job.args[0] % 2 == 1, limit=700) == 700
    assert low.delete_if(lambda job: bool(job.args) and job.args[0] % 2 == 1) == 50
    assert [job.args[0] for job in low if job.args] == list(range(1498, -1, -2))
    assert redis.keys("pykiq:*") == []


@pytest.mark.parametrize("searched", [0, 10**9], ids=["in one pass", "one by one"])
def test_many_jobs_are_deleted_and_each_is_told_of(
    searched: int, client: Client, redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykiq.admin.queues.SEARCHED", searched)
    redis.lpush("queue:low", *[packed(n) for n in range(1000)], packed(7))
    low = Queue("low", client)
    jobs = [job for job in low if job.args[0] % 10 == 7]
    assert len(jobs) == 101
    redis.lrem("queue:low", 1, jobs[50].raw)
    assert low.delete_jobs([*jobs, jobs[3]]) == [number not in (50, 101) for number in range(102)]
    assert sorted(job.args[0] for job in low) == [n for n in range(1000) if n % 10 != 7]


def test_a_queue_whose_name_is_no_text_is_worked_on_too(client: Client, redis: redis_py.Redis) -> None:
    redis.lpush(b"queue:caf\xe9", *[packed(n) for n in range(20)])
    odd = Queue("caf\udce9", client)
    assert odd.delete_if(lambda job: job.args[0] < 15, limit=10) == 10
    assert [job.args[0] for job in odd] == [19, 18, 17, 16, 15, 4, 3, 2, 1, 0]

"""The dashboard's numbers under Ruby's names."""

from __future__ import annotations

from datetime import date

import pytest
import redis as redis_py

from pykiq import Client
from pykiq.admin import Stats
from pykiq.errors import ConfigError
from tests.admin.conftest import failed, packed


def test_every_number_is_there(client: Client, redis: redis_py.Redis) -> None:
    redis.mset({"stat:processed": 12, "stat:failed": 3})
    redis.sadd("queues", "low", "default")
    redis.sadd("paused", "low")
    redis.lpush("queue:low", packed(1), packed(2))
    redis.lpush("queue:default", packed(3))
    redis.zadd("retry", {failed(1): 1})
    redis.zadd("schedule", {packed(1): 1, packed(2): 1})
    redis.sadd("processes", "p:1:a", "gone:1:b")
    redis.hset("p:1:a", mapping={"busy": 4, "info": "{}"})
    redis.hset("pykiq:owners", mapping={"p:1:a": '["low"]', "gone:1:b": '["low"]'})
    redis.set("pykiq:lease:p:1:a", "p:1:a")
    redis.rpush("pykiq:inflight:p:1:a:low", packed(4), packed(5))
    redis.rpush("pykiq:inflight:gone:1:b:low", packed(6))
    stats = Stats(client)
    assert (stats.in_flight_size, stats.orphaned_size) == (3, 1)
    assert (stats.processed, stats.failed, stats.enqueued) == (12, 3, 3)
    assert (stats.retry_size, stats.scheduled_size, stats.dead_size) == (1, 2, 0)
    assert (stats.processes_size, stats.workers_size) == (1, 4)
    assert list(stats.queues.items()) == [("low", 2), ("default", 1)]
    assert [(queue.name, queue.paused) for queue in stats.queue_summaries] == [("low", True), ("default", False)]
    assert stats.default_queue_latency == stats.queue_summaries[1].latency or stats.default_queue_latency > 0


def test_the_counts_of_each_day_are_there(client: Client, redis: redis_py.Redis) -> None:
    redis.mset({"stat:processed:2026-11-22": 5, "stat:failed:2026-11-20": 2})
    assert list(Stats(client).history(3, date(2026, 11, 22)).items()) == [
        (date(2026, 11, 22), (5, 0)),
        (date(2026, 11, 21), (0, 0)),
        (date(2026, 11, 20), (0, 2)),
    ]
    assert len(Stats(client).history(30)) == 30
    with pytest.raises(ConfigError, match="expected 1 to 1825"):
        Stats(client).history(0)


def test_the_totals_are_reset_all_or_by_name(client: Client, redis: redis_py.Redis) -> None:
    redis.mset({"stat:processed": 12, "stat:failed": 3, "stat:failed:2026-11-20": 2})
    Stats(client).reset("failed")
    assert redis.mget("stat:processed", "stat:failed", "stat:failed:2026-11-20") == [b"12", b"0", b"2"]
    Stats(client).reset()
    assert redis.get("stat:processed") == b"0"
    with pytest.raises(ConfigError, match="expected processed or failed"):
        Stats(client).reset("dead")

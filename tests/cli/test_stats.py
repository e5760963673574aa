"""`pykiq stats`: the dashboard's numbers."""

from __future__ import annotations

import time

import pytest
import redis as redis_py

from pykiq.cli.stats import shown
from pykiq.store.stats import QueueStats, Stats, read
from tests.cli.inside import Command


@pytest.fixture
def filled(redis: redis_py.Redis) -> redis_py.Redis:
    """Numbers of every kind, written as Ruby writes them; the newer job in milliseconds."""
    redis.mset({"stat:processed": 1200, "stat:failed": 3})
    redis.sadd("queues", "default", "low", "empty")
    redis.lpush("queue:default", b'{"class":"A","args":[],"enqueued_at":900.0}', b'{"class":"A","args":[]}')
    redis.lpush("queue:low", b'{"class":"A","args":[],"enqueued_at":990000}')
    redis.zadd("retry", {"r1": 1, "r2": 2})
    redis.zadd("schedule", {"s": 1})
    redis.zadd("dead", {"d1": 1, "d2": 2, "d3": 3})
    redis.sadd("processes", "a:1:x", "b:2:y", "gone:3:z")
    redis.hset("a:1:x", "busy", 2)
    redis.hset("b:2:y", "busy", 1)
    redis.hset("pykiq:owners", mapping={"a:1:x": '["default"]', "gone:3:z": '["default","low"]', "odd": "x"})
    redis.set("pykiq:lease:a:1:x", "a:1:x")
    redis.rpush("pykiq:inflight:a:1:x:default", b"{}")
    redis.rpush("pykiq:inflight:gone:3:z:low", b"{}", b"{}")
    redis.set("pykiq:inflight:gone:3:z:default", "no list")
    return redis


NUMBERS = Stats(
    processed=1200,
    failed=3,
    enqueued=3,
    retries=2,
    scheduled=1,
    dead=3,
    processes=2,
    busy=3,
    in_flight=3,
    orphaned=2,
    queues=(QueueStats("default", 2, 100.0), QueueStats("empty", 0, 0.0), QueueStats("low", 1, 10.0)),
)


def test_every_number_is_read_and_a_process_without_a_heartbeat_does_not_count(filled: redis_py.Redis) -> None:
    assert read(filled, 1000.0) == NUMBERS


def test_an_empty_server_has_zeroes(redis: redis_py.Redis) -> None:
    assert read(redis, 1000.0) == Stats(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ())


def test_odd_bytes_are_no_error(redis: redis_py.Redis) -> None:
    redis.sadd("queues", b"\xff", "broken")
    redis.lpush("queue:broken", b"not json")
    redis.lpush(b"queue:\xff", b'{"class":"A"}')
    redis.set("stat:processed", "many")
    redis.sadd("processes", "stat:processed")
    redis.sadd("queues", "string")
    redis.set("queue:string", "x")
    found = read(redis, 1000.0)
    assert [(queue.size, queue.latency) for queue in found.queues] == [(1, 0.0), (0, 0.0), (1, 0.0)]
    assert found.processes == 0
    assert found.processed == 0
    assert "\\xff" in shown(found, None)


def test_the_json_has_every_number(filled: redis_py.Redis, command: Command) -> None:
    before = time.time()
    ran = command("stats", "--json")
    assert (ran.code, ran.err) == (0, "")
    (found,) = ran.lines
    queues = {queue.pop("name"): queue for queue in found.pop("queues")}
    assert found == {name: value for name, value in NUMBERS.as_dict().items() if name != "queues"}
    assert before - 900 <= queues["default"]["latency"] <= time.time() - 900
    assert queues["empty"] == {"size": 0, "latency": 0.0, "paused": False}


def test_the_table_has_a_line_per_number_and_per_queue() -> None:
    lines = shown(NUMBERS, None).splitlines()
    assert lines[0].split() == ["processed", "1,200"]
    assert [line.split()[0] for line in lines[:10]] == list(NUMBERS.as_dict())[:10]
    assert lines[11].split() == ["queue", "size", "latency"]
    assert lines[12].split() == ["default", "2", "1", "m", "40", "s"]

"""One look at what waits, and how processes share it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import redis as redis_py

from pykiq.observe.reading import Reading, packed, read, shared, unpacked

NOW = 1_700_000_010.0


def lease_expires(redis: redis_py.Redis) -> None:
    """Let time pass until the next scrape reads for itself."""
    assert redis.delete(*redis.keys("pykiq:backlog:*:reader")) == 1


def test_bytes_that_are_no_job_cost_only_their_queues_latency(redis: redis_py.Redis) -> None:
    redis.lpush("queue:broken", b"{\xff")
    redis.lpush("queue:ageless", b"{}")
    redis.set("queue:odd", "a string")
    reading = read(redis, ["broken", "ageless", "odd", "empty"], NOW)
    assert reading.up
    assert reading.sizes == {"broken": 1, "ageless": 1, "empty": 0}
    assert reading.latencies == {"empty": 0.0}
    assert reading.sets == {"retry": 0, "schedule": 0, "dead": 0}


def test_a_redis_that_refuses_to_be_read_is_down(redis: redis_py.Redis) -> None:
    redis.acl_setuser("nobody", enabled=True, nopass=True, commands=["+hello", "+client", "+ping"])
    port = redis.connection_pool.connection_kwargs["port"]
    try:
        with redis_py.Redis(port=port, protocol=2, username="nobody", password="x") as refused:
            assert not read(refused, ["low"], NOW).up
    finally:
        redis.acl_deluser("nobody")


@pytest.fixture
def others(redis: redis_py.Redis) -> Reading:
    """What another process has read, a moment before two more jobs came."""
    redis.lpush("queue:low", json.dumps({"enqueued_at": NOW - 1}))
    redis.sadd("paused", "low")
    redis.zadd("retry", {"a": NOW - 2.5})
    theirs = shared(redis, ["low", "high"], NOW)
    assert theirs.sizes == {"low": 1, "high": 0}
    redis.lpush("queue:low", "{}", "{}")
    return theirs


def test_what_another_process_has_read_does_for_all_with_the_same_queues(
    redis: redis_py.Redis, others: Reading
) -> None:
    mine = shared(redis, ["high", "low"], NOW + 4)
    assert (mine.sizes, mine.latencies, mine.sets) == (others.sizes, others.latencies, others.sets)
    assert (mine.lateness, mine.paused, mine.up) == (others.lateness, others.paused, True)
    assert mine.seconds != others.seconds  # that is this scrape's own
    assert shared(redis, ["low"], NOW).sizes == {"low": 3}


def test_it_is_read_again_when_the_lease_has_expired(redis: redis_py.Redis, others: Reading) -> None:
    (lease,) = redis.keys("pykiq:backlog:*:reader")
    assert 4000 < redis.pttl(lease) <= 5000
    assert 14_000 < redis.pttl(lease.removesuffix(b":reader")) <= 15_000
    lease_expires(redis)
    assert shared(redis, ["low", "high"], NOW).sizes["low"] == 3
    assert shared(redis, ["low", "high"], NOW).sizes["low"] == 3


def test_nobody_waits_for_a_reader_that_died(redis: redis_py.Redis, others: Reading) -> None:
    """Its lease is there and what it should have read is not."""
    (lease,) = redis.keys("pykiq:backlog:*:reader")
    redis.delete(lease.removesuffix(b":reader"))
    assert shared(redis, ["low", "high"], NOW).sizes["low"] == 3
    assert redis.keys("pykiq:backlog:*") == [lease]


@pytest.mark.parametrize(
    "left", [b"", b"\xff", b"[1]", b"null", b"{}", b'{"format":2,"sizes":[]}', b"x" * 1000], ids=repr
)
def test_what_this_version_does_not_know_is_not_read(redis: redis_py.Redis, others: Reading, left: bytes) -> None:
    (lease,) = redis.keys("pykiq:backlog:*:reader")
    redis.set(lease.removesuffix(b":reader"), left)
    assert shared(redis, ["low", "high"], NOW).sizes["low"] == 3


@pytest.fixture
def full(redis: redis_py.Redis) -> Iterator[None]:
    """Redis has no memory left for anything new."""
    redis.config_set("maxmemory", 1)
    yield
    redis.config_set("maxmemory", 0)


def test_a_redis_that_is_full_is_read_all_the_same(redis: redis_py.Redis, full: None) -> None:
    reading = shared(redis, ["low"], NOW)
    assert (reading.up, reading.sizes) == (True, {"low": 0})
    assert redis.keys("pykiq:*") == []


def test_a_reading_is_the_same_after_it_was_left_in_redis(others: Reading) -> None:
    assert unpacked(packed(others)) == others

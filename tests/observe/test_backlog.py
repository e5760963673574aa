from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import redis as redis_py
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pykiq.config import Config
from pykiq.observe.backlog import Backlog
from pykiq.store.connection import connect
from tests.observe.test_reading import lease_expires
from tests.servers import free_port

NOW = 1_700_000_010.0


@pytest.fixture
def silent_server() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def scrape(backlog: Backlog) -> dict[tuple[str, ...], float]:
    registry = CollectorRegistry()
    registry.register(backlog)
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


def test_what_waits_is_read_when_somebody_scrapes(redis: redis_py.Redis) -> None:
    redis.lpush("queue:low", json.dumps({"enqueued_at": 1_700_000_004.5}), json.dumps({"enqueued_at": NOW - 1.5}))
    redis.lpush("queue:ms", json.dumps({"enqueued_at": 1_700_000_007_500}))
    redis.zadd("retry", {"a": NOW - 2.5, "b": NOW - 1})
    redis.zadd("schedule", {"a": NOW + 60})
    redis.sadd("paused", "ms", "another")
    backlog = Backlog(lambda: redis, ["low", "ms", "empty", "low"], clock=lambda: NOW)
    scraped = scrape(backlog)
    assert scraped.pop(("pykiq_redis_round_trip_seconds",)) > 0
    assert scraped == {
        ("pykiq_queue_paused", "low"): 0,
        ("pykiq_queue_paused", "ms"): 1,
        ("pykiq_queue_paused", "empty"): 0,
        ("pykiq_schedule_lateness_seconds", "retry"): 2.5,
        ("pykiq_schedule_lateness_seconds", "schedule"): 0,
        ("pykiq_redis_up",): 1,
        ("pykiq_queue_size", "low"): 2,
        ("pykiq_queue_size", "ms"): 1,
        ("pykiq_queue_size", "empty"): 0,
        ("pykiq_queue_latency_seconds", "low"): 5.5,
        ("pykiq_queue_latency_seconds", "ms"): 2.5,
        ("pykiq_queue_latency_seconds", "empty"): 0,
        ("pykiq_retry_size",): 2,
        ("pykiq_schedule_size",): 1,
        ("pykiq_dead_size",): 0,
    }


def test_scrapes_within_a_second_share_one_reading(redis: redis_py.Redis) -> None:
    backlog = Backlog(lambda: redis, ["low"], fresh=600.0)
    redis.config_resetstat()
    assert scrape(backlog) == scrape(backlog)
    assert redis.info("commandstats")["cmdstat_llen"]["calls"] == 1


def test_scrapes_at_the_same_time_share_one_reading(redis: redis_py.Redis) -> None:
    answering = threading.Event()

    def slowly() -> redis_py.Redis:
        answering.wait(10)
        return redis

    backlog = Backlog(slowly, ["low"], fresh=600.0, patience=10)
    redis.config_resetstat()
    readings: list[bool] = []
    scrapers = [threading.Thread(target=lambda: readings.append(backlog.reading().up)) for _ in range(4)]
    for scraper in scrapers:
        scraper.start()
    assert [thread.name for thread in threading.enumerate()].count("pykiq-backlog") == 1
    answering.set()
    for scraper in scrapers:
        scraper.join()
    assert readings == [True] * 4
    assert redis.info("commandstats")["cmdstat_llen"]["calls"] == 1


def test_a_stale_reading_is_read_again(redis: redis_py.Redis) -> None:
    backlog = Backlog(lambda: redis, ["low"], fresh=0.0)
    assert scrape(backlog)["pykiq_queue_size", "low"] == 0
    redis.lpush("queue:low", "{}")
    lease_expires(redis)
    assert scrape(backlog)["pykiq_queue_size", "low"] == 1


def test_workers_share_a_reading(redis: redis_py.Redis, redis_url: str) -> None:
    """Each with a connection of its own, as processes on different machines have."""
    redis.lpush("queue:low", *["{}"] * 7)
    redis.config_resetstat()
    for _ in range(10):
        with connect(Config.of(redis=redis_url)) as another:
            assert scrape(Backlog(lambda client=another: client, ["low", "high"]))["pykiq_queue_size", "low"] == 7
    calls = {name.removeprefix("cmdstat_"): told["calls"] for name, told in redis.info("commandstats").items()}
    assert (calls["set"], calls["get"]) == (11, 10)
    assert (calls["llen"], calls["lindex"], calls["zcard"]) == (2, 2, 3)


def test_without_redis_the_scrape_says_so_and_invents_no_sizes() -> None:
    with connect(Config.of(redis=f"redis://127.0.0.1:{free_port()}/0")) as gone:
        assert scrape(Backlog(lambda: gone, ["low"])) == {("pykiq_redis_up",): 0}


def test_a_redis_that_hangs_does_not_hang_the_scrape(silent_server: int) -> None:
    hanging = redis_py.Redis(port=silent_server, protocol=2, socket_timeout=30)
    backlog = Backlog(lambda: hanging, ["low"])
    before = time.monotonic()
    assert scrape(backlog) == {("pykiq_redis_up",): 0}
    assert time.monotonic() - before < 2
    hanging.connection_pool.disconnect()


def test_redis_coming_back_is_seen(redis: redis_py.Redis) -> None:
    with connect(Config.of(redis=f"redis://127.0.0.1:{free_port()}/0")) as gone:
        answers = iter([gone, redis])
        backlog = Backlog(lambda: next(answers), ["low"], fresh=0.0)
        assert not backlog.reading().up
        assert not backlog.reading().up  # the same connection, still down
        backlog.close()
    assert Backlog(lambda: redis, ["low"]).reading().up

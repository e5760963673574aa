"""Which Rubies run beside us."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis as redis_py

from pykiq.config import Config
from pykiq.store import fleet
from pykiq.store.connection import aconnect
from pykiq.store.fleet import Fleet, chosen
from tests import captures


def seen(redis: redis_py.Redis, identity: str, info: object) -> None:
    redis.sadd("processes", identity)
    redis.hset(identity, "info", info if isinstance(info, (bytes, str)) else json.dumps(info))


@pytest.mark.parametrize("version", captures.VERSIONS)
def test_a_real_ruby_process_decides_the_dialect(redis: redis_py.Redis, version: str) -> None:
    recorded = captures.read(version, "heartbeat_idle").data["redis"]
    for identity in recorded["processes"]["value"]:
        seen(redis, identity, recorded[identity]["value"]["info"])
    assert fleet.read(redis).dialect.name == version[0]


@pytest.mark.parametrize(
    ("infos", "dialect", "workers"),
    [
        ([], "7", True),
        ([{"version": "8.1.7"}], "8", False),
        ([{"version": "8.1.7"}, {"version": "7.3.2"}], "7", False),
        ([{"version": "8.1.7"}, {}], "6", True),
        ([{"version": "pykiq-0.1.0", "pykiq": "0.1.0"}], "7", True),
        ([{"version": "pykiq-0.1.0", "pykiq": "0.1.0"}, {"version": "8.1.7"}], "8", False),
    ],
)
def test_the_oldest_ruby_decides_and_pykiq_does_not(
    redis: redis_py.Redis, infos: list[dict[str, Any]], dialect: str, workers: bool
) -> None:
    for number, info in enumerate(infos):
        seen(redis, f"host:{number}", info)
    found = fleet.read(redis)
    assert (found.dialect.name, found.needs_workers_key) == (dialect, workers)


def test_what_is_no_process_is_passed_over(redis: redis_py.Redis) -> None:
    redis.sadd("processes", "ghost", "text")
    redis.set("text", "not a hash")
    seen(redis, "broken", "{not json")
    seen(redis, "binary", b"\xff\xfe")
    seen(redis, "array", "[1]")
    seen(redis, "empty", "")
    seen(redis, "ruby", {"version": "8.1.7"})
    assert fleet.read(redis) == Fleet(frozenset({"8.1.7"}))


async def test_asyncio_reads_the_same(redis: redis_py.Redis, redis_url: str) -> None:
    redis.sadd("processes", "text")
    redis.set("text", "not a hash")
    seen(redis, "ruby", {"version": "8.1.7"})
    client = aconnect(Config.of(redis=redis_url))
    assert await fleet.aread(client) == fleet.read(redis)
    redis.flushall()
    assert await fleet.aread(client) == Fleet()
    await client.aclose()


@pytest.mark.parametrize(("setting", "name"), [("auto", "8"), ("8", "8"), ("7", "7"), ("6", "6")])
def test_the_setting_wins_over_the_fleet(setting: str, name: str) -> None:
    assert chosen(setting, Fleet(frozenset({"8.1.7"}))).name == name

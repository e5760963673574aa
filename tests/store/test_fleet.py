"""Which Rubies run beside us."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis as redis_py

from pykiq.client.aio import AsyncClient
from pykiq.client.sync import Client
from pykiq.config import Config
from pykiq.store import fleet
from pykiq.store.connection import aconnect
from pykiq.store.fleet import Fleet, chosen
from tests import captures
from tests.commands import taken
from tests.servers import Server


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


# One reads for all.


@pytest.mark.parametrize("others", [1, 1000])
def test_all_but_one_take_one_command_to_see_the_fleet_whatever_its_size(redis: redis_py.Redis, others: int) -> None:
    for number in range(others):
        seen(redis, f"host:{number}", {"version": "8.1.7"})
    seen(redis, "python", {"version": "pykiq-0.1.0", "pykiq": "0.1.0"})
    found = fleet.shared(redis)
    assert (found.versions, found.peers) == ({"8.1.7"}, 1)
    again: list[Fleet] = []
    assert taken(redis, lambda: again.append(fleet.shared(redis))) == 1
    assert (again, again[0].peers) == ([found], 1)
    assert 0 < redis.pttl("pykiq:fleet") <= fleet.FRESH_SECONDS * 1000


def test_while_one_reads_the_others_believe_what_they_saw_last(redis: redis_py.Redis) -> None:
    seen(redis, "ruby", {"version": "8.1.7"})
    redis.set("pykiq:fleet:reader", "1", px=60_000)
    known = Fleet(frozenset({"7.3.2"}))
    assert fleet.shared(redis, known) is known
    assert fleet.shared(redis).versions == {"8.1.7"}, "who has seen nothing yet reads"
    assert not redis.exists("pykiq:fleet"), "and leaves that to whose turn it is"


@pytest.mark.parametrize(
    "odd",
    [
        b"",
        b"[]",
        b"{}",
        b'{"format":2,"versions":["6.4.1"],"peers":1}',
        b'{"format":1,"versions":"6.4.1","peers":1}',
        b'{"format":1,"versions":[6],"peers":1}',
        b'{"format":1,"versions":["6.4.1"]}',
    ],
)
def test_what_cannot_be_understood_is_read_anew(redis: redis_py.Redis, odd: bytes) -> None:
    seen(redis, "ruby", {"version": "8.1.7"})
    redis.set("pykiq:fleet", odd)
    assert fleet.shared(redis).versions == {"8.1.7"}
    assert fleet.unpacked(redis.get("pykiq:fleet")) == Fleet(frozenset({"8.1.7"}))


def test_a_key_of_another_type_is_read_past(redis: redis_py.Redis) -> None:
    redis.lpush("pykiq:fleet", "a")
    seen(redis, "old", {})
    assert fleet.shared(redis).dialect.name == "6"
    assert fleet.unpacked(redis.get("pykiq:fleet")) == Fleet(frozenset({None}))


def test_a_redis_that_is_full_is_not_asked_again_and_again(victim: Server, store: redis_py.Redis) -> None:
    seen(store, "ruby", {"version": "8.1.7"})
    store.config_set("maxmemory", 1)
    known = fleet.shared(store)
    assert known.versions == {"8.1.7"}
    assert fleet.shared(store, known) is known


async def test_who_only_pushes_takes_what_a_worker_has_left(redis: redis_py.Redis, redis_url: str) -> None:
    config = Config.of(redis=redis_url)
    seen(redis, "ruby", {"version": "8.1.7"})
    fleet.shared(redis)
    redis.delete("processes")
    with Client(config) as client:
        client._look_at_fleet()
        assert client._fleet.dialect.name == "8"
    async with AsyncClient(config) as pusher:
        await pusher._look_at_fleet()
        assert pusher._fleet.dialect.name == "8"


def test_a_user_who_may_not_take_it_reads_the_fleet(redis: redis_py.Redis, server: Server) -> None:
    seen(redis, "ruby", {"version": "8.1.7"})
    fleet.shared(redis)
    redis.execute_command("ACL", "SETUSER", "narrow", "reset", "on", ">secret", "~*", "+smembers", "+hget")
    with Client(Config.of(redis=f"redis://narrow:secret@127.0.0.1:{server.port}/0")) as client:
        client._look_at_fleet()
        assert client._fleet.versions == {"8.1.7"}
    redis.execute_command("ACL", "DELUSER", "narrow")

"""When a job had begun at a process that died: its last heartbeat tells, whatever it holds."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis as redis_py

from pykiq.config import Config
from pykiq.observe.heartbeat import Running, work_record
from pykiq.store import lastseen, reclaim
from pykiq.store.lastseen import LARGEST, LastSeen
from tests.store.jobs import berth, claim, push, raw

GONE = "gone:1:aaaaaaaaaaaa"


def record(payload: bytes, run_at: float = 1_700_000_000.0, queue: str = "default") -> bytes:
    return work_record(Running(1, queue, payload, run_at))


def started(redis: redis_py.Redis, payload: bytes) -> float | None:
    return LastSeen(redis, GONE).started_at("default", payload)


@pytest.mark.parametrize("name", ["work", "workers"])
def test_the_last_heartbeat_says_since_when_a_job_ran(redis: redis_py.Redis, name: str) -> None:
    redis.hset(f"{GONE}:{name}", mapping={"a": record(raw(1)), "b": record(raw(2), 1_700_000_009.0)})
    seen = LastSeen(redis, GONE)
    assert [seen.started_at("default", raw(number)) for number in (2, 1, 3)] == [1_700_000_009.0, 1_700_000_000.0, None]
    assert seen.started_at("other", raw(1)) is None


def test_equal_jobs_have_a_record_each(redis: redis_py.Redis) -> None:
    redis.hset(f"{GONE}:work", mapping={"a": record(raw(1)), "b": record(raw(1))})
    seen = LastSeen(redis, GONE)
    assert [seen.started_at("default", raw(1)) for _ in range(3)] == [1_700_000_000.0, 1_700_000_000.0, None]


def test_bytes_that_are_no_text_are_found(redis: redis_py.Redis) -> None:
    redis.hset(f"{GONE}:work", "a", record(b"\xff{"))
    assert started(redis, b"\xff{") == 1_700_000_000.0


@pytest.mark.parametrize(
    "odd",
    [
        b"",
        b"no json",
        b"[" * 100_000,
        b"[]",
        b"null",
        json.dumps({"queue": "default", "payload": raw(1).decode(), "run_at": "now"}).encode(),
        json.dumps({"queue": "default", "payload": raw(1).decode(), "run_at": 1e300}).encode(),
        json.dumps({"queue": "default", "payload": raw(1).decode(), "run_at": -5}).encode(),
        b'{"queue":"default","payload":%s,"run_at":NaN}' % json.dumps(raw(1).decode()).encode(),
        json.dumps({"queue": ["default"], "payload": raw(1).decode(), "run_at": 5}).encode(),
        json.dumps({"queue": "default", "payload": {"jid": "x"}, "run_at": 5}).encode(),
        record(raw(1, padding="x" * LARGEST)),
    ],
)
def test_an_odd_record_tells_nothing_and_hides_no_other(redis: redis_py.Redis, odd: bytes) -> None:
    redis.hset(f"{GONE}:work", mapping={"odd": odd, "fine": record(raw(2))})
    assert started(redis, raw(1)) is None
    assert started(redis, raw(2)) == 1_700_000_000.0


def test_a_key_of_another_type_tells_nothing(redis: redis_py.Redis) -> None:
    redis.set(f"{GONE}:work", "text")
    assert started(redis, raw(1)) is None


def test_many_records_are_read_in_portions(redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 3 * lastseen.PORTION + 1
    redis.hset(f"{GONE}:work", mapping={str(number): record(raw(number)) for number in range(count)})
    seen = LastSeen(redis, GONE)
    assert all(seen.started_at("default", raw(number)) for number in range(count))


def test_a_takeover_says_since_when_the_job_ran_and_where(redis: redis_py.Redis) -> None:
    place = berth(identity=GONE)
    push(redis, "default", raw(1), raw(2))
    claim(redis, place, 2)
    redis.hset(f"{GONE}:work", "a", record(raw(1)))
    redis.delete(place.lease)
    taken: dict[bytes, Any] = {}
    for one in reclaim.sweep(redis, berth(identity="live:2:bbbbbbbbbbbb"), Config.of(), lambda *_: b"{}"):
        taken[one.raw] = (one.owner, one.started_at)
    assert taken == {raw(1): (GONE, 1_700_000_000.0), raw(2): (GONE, None)}

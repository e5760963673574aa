"""Retries, scheduled and dead jobs: reading them, and changing them without ever losing one."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import redis as redis_py

from pykiq import Client, Config
from pykiq.admin import DeadSet, RetrySet, ScheduledSet
from pykiq.errors import Kill, PayloadError, Unreadable
from pykiq.jobs.lifecycle import lifecycle
from pykiq.middleware.chain import Chain, ClientMiddleware
from tests.admin.conftest import failed, members, packed


def places(redis: redis_py.Redis) -> dict[str, int]:
    return {
        key.decode(): redis.llen(key) if redis.type(key) == b"list" else redis.zcard(key)
        for key in redis.keys("*")
        if key != b"queues"
    }


def test_a_set_is_walked_from_the_latest_as_in_ruby_and_reversed_from_the_first(
    client: Client, redis: redis_py.Redis
) -> None:
    redis.zadd("retry", {failed(n): 100.5 + n for n in range(1200)})
    retries = RetrySet(client)
    assert [entry.args for entry in retries] == [[n] for n in reversed(range(1200))]
    assert next(reversed(retries)).score == 100.5
    assert (len(retries), retries.size, bool(RetrySet(client))) == (1200, 1200, True)


def test_nothing_is_read_before_it_is_asked_for(client: Client, redis: redis_py.Redis) -> None:
    redis.zadd("retry", {failed(n): n for n in range(3000)})
    before = redis.info("commandstats")["cmdstat_evalsha"]["calls"]
    next(iter(RetrySet(client)))
    assert redis.info("commandstats")["cmdstat_evalsha"]["calls"] - before <= 2  # one more when the script is unknown


def test_an_entry_is_found_by_its_jid_by_its_score_and_by_what_is_in_it(client: Client, redis: redis_py.Redis) -> None:
    redis.zadd("dead", {failed(n, error_message=f"why*{n}"): 7.25 for n in range(3)} | {b"not json": 8})
    dead = DeadSet(client)
    found = dead.find_job(f"{1:024x}")
    assert found is not None
    assert found.args == [1]
    assert dead.find_job("0*") is None
    assert [entry.jid for entry in dead.fetch(7.25)] == [f"{n:024x}" for n in range(3)]
    assert [entry.args for entry in dead.fetch(7.25, f"{2:024x}")] == [[2]]
    assert [entry.raw for entry in dead.scan("not js")] == [b"not json"]
    assert sorted(entry.score for entry in dead.scan("*why*")) == [7.25, 7.25, 7.25]


def test_a_retry_now_does_not_count(client: Client, redis: redis_py.Redis) -> None:
    redis.zadd("retry", {failed(): time.time() + 99})
    (entry,) = RetrySet(client)
    assert entry.retry()
    (job,) = members(redis, "queue:low")
    assert job.pop("enqueued_at") == pytest.approx(time.time(), abs=60)
    assert job == {**{k: v for k, v in json.loads(failed()).items() if k != "enqueued_at"}, "retry_count": -1}
    assert redis.smembers("queues") == {b"low"}
    assert places(redis) == {"queue:low": 1}


def test_adding_to_the_queue_leaves_the_count_alone(client: Client, redis: redis_py.Redis) -> None:
    redis.zadd("retry", {failed(retry_count=3): 1.0})
    assert next(iter(RetrySet(client))).add_to_queue()
    assert members(redis, "queue:low")[0]["retry_count"] == 3


@pytest.mark.parametrize(("created_at", "kind"), [(1_795_315_000.5, float), (1_795_315_000_500, int)])
def test_times_are_written_in_the_job_s_own_unit(
    client: Client, redis: redis_py.Redis, created_at: float, kind: type
) -> None:
    redis.zadd("retry", {failed(created_at=created_at): 1.0})
    assert next(iter(RetrySet(client))).retry()
    assert type(members(redis, "queue:low")[0]["enqueued_at"]) is kind


def test_what_somebody_else_has_taken_is_not_pushed_again(client: Client, redis: redis_py.Redis) -> None:
    redis.zadd("retry", {failed(n): n for n in range(2)})
    one, two = RetrySet(client)
    redis.zrem("retry", one.raw)
    assert [one.retry(), one.kill(), one.delete(), one.reschedule(5), one.add_to_queue()] == [False] * 5
    assert two.delete()
    assert places(redis) == {}


def test_a_kill_keeps_the_bytes_and_tells_the_death_handlers(client: Client, redis: redis_py.Redis) -> None:
    odd = b'{ "class":"HardJob" , "args":[1e20],"jid":"x"}'
    redis.zadd("retry", {odd: 1.0, failed(2): 2.0})
    told: list[tuple[Any, BaseException]] = []
    lifecycle.death_handler(lambda job, error: told.append((job["jid"], error)))
    try:
        two, one = RetrySet(client)
        assert one.kill()
        assert two.kill(notify=False)
    finally:
        lifecycle.clear()
    assert redis.zrangebyscore("dead", time.time() - 60, "+inf") == [odd, failed(2)]
    assert [(jid, type(error)) for jid, error in told] == [("x", Kill)]
    assert places(redis) == {"dead": 2}


def test_a_rescheduled_entry_is_the_same_bytes_at_another_time(client: Client, redis: redis_py.Redis) -> None:
    odd = b'{ "class" : "HardJob", "args" : [] }'
    redis.zadd("schedule", {odd: 5.0})
    assert next(iter(ScheduledSet(client))).reschedule(datetime(2031, 5, 1, tzinfo=UTC))
    assert redis.zrange("schedule", 0, -1, withscores=True) == [(odd, datetime(2031, 5, 1, tzinfo=UTC).timestamp())]
    for wrong in (datetime(2031, 5, 1), "soon", float("nan")):  # noqa: DTZ001
        with pytest.raises(PayloadError):
            next(iter(ScheduledSet(client))).reschedule(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raw", "error"),
    [(b"not json", Unreadable), (b"[1]", Unreadable), (b'{"args":[]}', PayloadError), (b'{"class":"A"}', PayloadError)],
)
def test_what_cannot_be_pushed_stays_where_it_is(
    client: Client, redis: redis_py.Redis, raw: bytes, error: type[Exception]
) -> None:
    redis.zadd("dead", {raw: 3.0, failed(): 2.0})
    with pytest.raises(error):
        next(iter(DeadSet(client))).retry()
    assert DeadSet(client).retry_all() == 1
    assert redis.zrange("dead", 0, -1, withscores=True) == [(raw, 3.0)]
    assert redis.llen("queue:low") == 1


def test_middleware_sees_every_job_that_is_pushed_again(
    client: Client, redis: redis_py.Redis, chain: Chain[ClientMiddleware]
) -> None:
    @chain.add
    def by_number(job: dict[str, Any], call_next: Any) -> Any:
        match job["args"]:
            case [1]:
                raise OSError("its database is away")
            case [2]:
                return None
            case [3]:
                job["at"] = 2_000_000_000.5
            case [4]:
                job["queue"] = "high"
        return call_next(job)

    redis.zadd("dead", {failed(n): n for n in range(5)})
    changes = list(DeadSet(client).retry_each(DeadSet(client)))
    assert [(change.entry.args, change.done, repr(change.error)) for change in changes if change.error] == [
        ([1], False, "OSError('its database is away')")
    ]
    assert [job["args"] for job in members(redis, "dead")] == [[1]]
    assert redis.zrange("schedule", 0, -1, withscores=True)[0][1] == 2_000_000_000.5
    assert (redis.llen("queue:high"), redis.llen("queue:low")) == (1, 1)


def test_a_queue_that_is_no_list_refuses_its_jobs_and_they_stay_at_their_time(
    client: Client, redis: redis_py.Redis
) -> None:
    redis.set("queue:low", "a string")
    redis.zadd("retry", {failed(): 55.5, failed(2, queue="high"): 44.5})
    with pytest.raises(PayloadError, match="queue:low a key of another type"):
        next(iter(RetrySet(client))).retry()
    assert RetrySet(client).retry_all() == 1
    assert redis.zrange("retry", 0, -1, withscores=True) == [(failed(), 55.5)]


def test_everything_is_retried_or_killed_at_once(client: Client, redis: redis_py.Redis) -> None:
    redis.zadd("retry", {failed(n): n for n in range(250)})
    assert RetrySet(client).kill_all() == 250
    assert places(redis) == {"dead": 250}
    assert DeadSet(client).retry_all() == 250
    assert places(redis) == {"queue:low": 250}
    assert {job["retry_count"] for job in members(redis, "queue:low")} == {-1}


def test_a_job_that_fails_again_at_once_is_not_retried_twice_by_one_call(
    client: Client, redis: redis_py.Redis, chain: Chain[ClientMiddleware]
) -> None:
    """As if a worker took each job and failed it while the walk goes on."""
    redis.zadd("retry", {failed(n): 9e9 + n for n in range(150)})

    @chain.add
    def fails_again(job: dict[str, Any], call_next: Any) -> Any:
        again = {**job, "enqueued_at": time.time()}
        redis.zadd("retry", {json.dumps(again).encode(): time.time() + 15})
        return call_next(job)

    assert RetrySet(client).retry_all() == 150
    assert places(redis) == {"queue:low": 150, "retry": 150}


def test_the_dead_set_takes_any_bytes_and_is_trimmed(client: Client, redis: redis_py.Redis) -> None:
    redis.zadd("dead", {"too old": time.time() - client.config.dead_timeout - 1})
    DeadSet(client).kill("not json")
    assert redis.zrange("dead", 0, -1) == [b"not json"]
    redis.zadd("dead", {"too old": 1})
    DeadSet(client).trim()
    assert redis.zrange("dead", 0, -1) == [b"not json"]


def test_a_payload_is_scheduled_as_it_is(client: Client, redis: redis_py.Redis) -> None:
    ScheduledSet(client).schedule(2_000_000_000, {"class": "OkJob", "args": []})
    assert redis.zrange("schedule", 0, -1, withscores=True) == [(b'{"class":"OkJob","args":[]}', 2_000_000_000.0)]
    ScheduledSet(client).clear()
    assert places(redis) == {}


def test_without_a_client_it_is_the_one_of_pykiq_configure(redis: redis_py.Redis, redis_url: str) -> None:
    from pykiq.client import configure

    configure.configure(redis=redis_url)
    try:
        redis.zadd("schedule", {packed(): 5.0})
        assert [entry.display_class for entry in ScheduledSet()] == ["HardJob"]
    finally:
        configure.forget()


def test_of_many_who_act_on_the_same_jobs_each_job_has_one_and_none_is_lost(
    redis: redis_py.Redis, redis_url: str
) -> None:
    redis.zadd("retry", {failed(n): n for n in range(600)})

    def act(number: int) -> int:
        with Client(Config.of(redis=redis_url), middleware=Chain()) as mine:
            retries = RetrySet(mine)
            return (retries.retry_all, retries.kill_all)[number % 2]()

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(act, range(6))) == 600
    queued = [job["jid"] for job in members(redis, "queue:low")]
    dead = [job["jid"] for job in members(redis, "dead")]
    assert sorted(queued + dead) == [f"{n:024x}" for n in range(600)]
    assert redis.zcard("retry") == 0

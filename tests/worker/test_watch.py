"""Watching many queues: what a worker with sixty of them asks of Redis, and that nothing is overlooked."""

from __future__ import annotations

import random
import time

import pytest
import redis as redis_py

from tests.logs import capture_logs
from tests.servers import Server, wait_until
from tests.worker.stage import in_flight, push, raw, registry, staged

MANY = [f"q{number}" for number in range(60)]


@pytest.fixture(autouse=True)
def no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not told is not found by the look that is taken now and then."""
    monkeypatch.setattr("pykiq.worker.watch.CHECK", 3600.0)


@pytest.mark.parametrize("concurrency", [1, 3, 10])
def test_no_job_is_overlooked_however_they_come(redis: redis_py.Redis, redis_url: str, concurrency: int) -> None:
    rng = random.Random(concurrency)
    pushed = 0
    ran: list[int] = []

    def job(number: int) -> None:
        ran.append(number)
        time.sleep(0.001 * (number % 4))

    with staged(redis_url, registry(Job=job), concurrency=concurrency, queues=MANY) as stage:
        for _ in range(40):
            queues = rng.choices(MANY, range(60), k=rng.choice((1, 1, 2, 20)))
            for queue in queues:
                jobs = rng.choice((1, 1, 1, 5))
                push(redis, *(raw("Job", pushed + number) for number in range(jobs)), queue=queue)
                pushed += jobs
            if rng.random() < 0.5:
                wait_until(lambda now=pushed: stage.reports.fates.count("done") == now, what=f"all {pushed} done")  # type: ignore[misc]
            else:
                time.sleep(rng.random() * 0.02)
        wait_until(lambda: stage.reports.fates.count("done") == pushed, what=f"all {pushed} done")
        assert stage.stop() is True
    assert sorted(ran) == list(range(pushed))
    assert in_flight(redis) == []


def calls(redis: redis_py.Redis, *names: str) -> int:
    told = redis.info("commandstats")
    return sum(told.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in names)


def test_five_hundred_idle_queues_take_few_connections_and_are_asked_for_once(
    redis: redis_py.Redis, redis_url: str
) -> None:
    before, connected = calls(redis, "llen"), redis.info("clients")["connected_clients"]
    queues = [f"q{number}" for number in range(500)]
    with staged(redis_url, registry(Job=lambda number: None), queues=queues) as stage:
        wait_until(lambda: calls(redis, "llen") - before >= 1000, what="a claim and a look")
        for number in range(20):
            push(redis, raw("Job", number), queue="q17")
            wait_until(lambda number=number: stage.reports.fates.count("done") == number + 1)  # type: ignore[misc]
        assert redis.info("clients")["connected_clients"] - connected <= 6
        assert calls(redis, "llen") - before <= 1000 + 3 * 20
        assert stage.stop() is True


def test_jobs_in_the_last_of_many_queues_do_not_pay_for_the_others(redis: redis_py.Redis, redis_url: str) -> None:
    push(redis, *(raw("Job", number) for number in range(200)), queue=MANY[-1])
    names = ("llen", "lmove", "lrem", "evalsha", "pexpire", "hset", "lrange", "lpush", "ltrim")
    before = calls(redis, *names)
    with staged(redis_url, registry(Job=lambda n: time.sleep(0.006)), concurrency=4, queues=MANY) as stage:
        wait_until(lambda: stage.reports.fates.count("done") == 200)
        assert stage.stop() is True
    assert calls(redis, *names) - before <= 200 * 5 + 6 * len(MANY)


def test_what_comes_to_a_queue_that_goes_first_is_next(redis: redis_py.Redis, redis_url: str) -> None:
    ran: list[int] = []

    def job(number: int) -> None:
        if number == 20:
            push(redis, raw("Job", 1000), queue=MANY[0])
        ran.append(number)
        time.sleep(0.01)

    push(redis, *(raw("Job", number) for number in range(40)), queue=MANY[-1])
    with staged(redis_url, registry(Job=job), concurrency=1, queues=MANY) as stage:
        wait_until(lambda: stage.reports.fates.count("done") == 41)
        assert stage.stop() is True
    assert ran.index(1000) <= 22


def test_a_queue_that_changes_often_gets_a_doorbell(redis: redis_py.Redis, redis_url: str) -> None:
    with staged(redis_url, registry(Job=lambda number: None), queues=MANY) as stage:
        for number in range(12):
            push(redis, raw("Job", number), queue="q7")
            wait_until(lambda number=number: stage.reports.fates.count("done") == number + 1)  # type: ignore[misc]
        wait_until(lambda: redis.info("clients")["blocked_clients"] == 1, what="a doorbell")
        assert stage.stop() is True


def test_two_processes_that_hear_of_one_job_run_it_once(redis: redis_py.Redis, redis_url: str) -> None:
    ran: list[int] = []
    with (
        staged(redis_url, registry(Job=ran.append), queues=MANY) as one,
        staged(redis_url, registry(Job=ran.append), queues=MANY, identity="other:2:bbbbbbbbbbbb") as other,
    ):
        for number in range(60):
            push(redis, raw("Job", number), queue=MANY[number])
            wait_until(lambda number=number: len(ran) == number + 1)  # type: ignore[misc]
        assert one.stop() is True
        assert other.stop() is True
    assert ran == list(range(60))


@pytest.mark.parametrize("kind", ["normal", "pubsub"])
def test_a_lost_connection_is_replaced_and_nothing_overlooked(redis: redis_py.Redis, redis_url: str, kind: str) -> None:
    with staged(redis_url, registry(Job=lambda number: None), queues=MANY) as stage:
        wait_until(lambda: calls(redis, "subscribe") > 0 and calls(redis, "llen") >= len(MANY))
        for number in range(5):
            me = redis.client_id()
            for client in redis.client_list(_type=kind):
                if int(client["id"]) != me:
                    redis.client_kill_filter(_id=client["id"])
            push(redis, raw("Job", number), queue=MANY[7 * number])
            wait_until(lambda number=number: stage.reports.fates.count("done") == number + 1)  # type: ignore[misc]
        assert stage.stop() is True


def test_a_user_who_may_not_track_has_a_doorbell_for_each_queue(redis: redis_py.Redis, redis_url: str) -> None:
    redis.execute_command("ACL", "SETUSER", "narrow", "reset", "on", ">secret", "~*", "&*", "+@all", "-client|tracking")
    url = redis_url.replace("redis://", "redis://narrow:secret@")
    try:
        with capture_logs() as lines, staged(url, registry(Job=lambda number: None), queues=MANY) as stage:
            wait_until(lambda: redis.info("clients")["blocked_clients"] == len(MANY), what="the doorbells")
            push(redis, raw("Job", 1), queue=MANY[9])
            wait_until(lambda: stage.reports.fates.count("done") == 1)
            assert stage.stop() is True
    finally:
        redis.execute_command("ACL", "DELUSER", "narrow")
    assert [line["event"] for line in lines if line["event"] == "queues_not_watched"] == ["queues_not_watched"]


def test_an_error_among_what_is_told_ends_the_connection_and_nothing_else(
    redis: redis_py.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykiq.worker.watch.CHECK", 0.1)
    redis.execute_command("ACL", "SETUSER", "narrow", "reset", "on", ">secret", "~*", "&*", "+@all")
    url = redis_url.replace("redis://", "redis://narrow:secret@")
    before = calls(redis, "subscribe")
    try:
        with staged(url, registry(Job=lambda number: None), queues=MANY) as stage:
            wait_until(lambda: calls(redis, "subscribe") > before)
            redis.execute_command("ACL", "SETUSER", "narrow", "-ping")
            wait_until(lambda: calls(redis, "subscribe") > before + 1, what="another connection")
            push(redis, raw("Job", 1), queue=MANY[9])
            wait_until(lambda: stage.reports.fates.count("done") == 1)
            assert stage.stop() is True
    finally:
        redis.execute_command("ACL", "DELUSER", "narrow")


def test_what_the_server_forgets_to_watch_is_told(store: redis_py.Redis, victim: Server) -> None:
    """Its table has room for fewer keys than are watched, as it may when others have filled it."""
    store.config_set("tracking-table-max-keys", 15)
    with staged(victim.url, registry(Job=lambda number: None), queues=MANY[:20]) as stage:
        wait_until(lambda: calls(store, "llen") >= 20)
        for number in range(20):
            push(store, raw("Job", number), queue=MANY[number])
            wait_until(lambda number=number: stage.reports.fates.count("done") == number + 1)  # type: ignore[misc]
        assert stage.stop() is True

"""The relay: a thread settles its job and fetches the next, on a real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis as redis_py

from pykiq.config import Config
from pykiq.records import Acknowledge, Assigned, Claimed, Fate, Outcome, PutBack, Word
from pykiq.store.connection import connect
from pykiq.worker.inbox import Inbox
from pykiq.worker.relay import Relay, Relayed
from tests.servers import wait_until
from tests.store.jobs import berth
from tests.worker.stage import executor, in_flight, push, raw, registry, staged, waiting

PLACE = berth()
LIST = PLACE.inflight("default")
SLOW = 0.008  # seconds: slow enough for no look-ahead


def far() -> float:
    return time.monotonic() + 1000


async def task(number: int) -> None:
    pass


class Desk:
    """A relay and what it tells the exchange."""

    def __init__(self, url: str, connections: int = 2) -> None:
        self.inbox: Inbox[Any] = Inbox()
        self.client = connect(Config.of(redis=url), timeout=1.0)
        runs = executor(registry(Job=lambda number: None, Task=task))
        self.relay = Relay("default", PLACE, self.client, self.inbox, runs.assign, connections)

    def told(self) -> list[Relayed]:
        return list(self.inbox.take())


@pytest.fixture
def desk(redis: redis_py.Redis, redis_url: str) -> Iterator[Desk]:
    made = Desk(redis_url)
    made.relay.allow("default", far())
    yield made
    made.relay.close()


def done(number: int) -> Outcome:
    return Outcome(Claimed("default", raw("Job", number), 1.0), Word.DONE, Acknowledge(), "Job", str(number))


def connected(desk: Desk) -> None:
    """Have a connection from here on: a server that pauses lets nobody in."""
    assert desk.relay.next(done(0)) == (True, None)
    desk.told()
    desk.relay.allow("default", far())


def test_a_thread_settles_its_job_and_goes_on_with_the_next(redis: redis_py.Redis, desk: Desk) -> None:
    redis.lpush(LIST, raw("Job", 1))
    push(redis, raw("Job", 2), raw("Job", 3))
    outcome = done(1)
    settled, following = desk.relay.next(outcome)
    assert settled
    assert following
    assert following.claimed.raw == raw("Job", 2)
    assert in_flight(redis) == [raw("Job", 2)]
    assert waiting(redis) == [raw("Job", 3)]
    assert desk.told() == [Relayed("default", outcome, Fate.DONE, following=following)]
    assert desk.relay.allowed


def test_nothing_changes_without_leave(redis: redis_py.Redis, desk: Desk) -> None:
    push(redis, raw("Job", 2))
    assert desk.relay.next(done(1)._replace(write=PutBack())) == (False, None)
    desk.relay.allow("default", time.monotonic())
    assert desk.relay.next(done(1)) == (False, None)
    desk.relay.forbid()
    assert desk.relay.next(done(1)) == (False, None)
    assert waiting(redis) == [raw("Job", 2)]
    assert not desk.told()


def test_a_queue_that_has_run_dry_is_left_to_the_exchange(redis: redis_py.Redis, desk: Desk) -> None:
    redis.lpush(LIST, raw("Job", 1))
    outcome = done(1)
    assert desk.relay.next(outcome) == (True, None)
    assert desk.told() == [Relayed("default", outcome, Fate.DONE)]
    assert not desk.relay.allowed


def test_a_job_that_cannot_run_here_is_left_to_the_exchange(redis: redis_py.Redis, desk: Desk) -> None:
    push(redis, raw("Other", 2))
    assert desk.relay.next(done(1)) == (True, None)
    [told] = desk.told()
    assert told.fate is Fate.TAKEN_OVER, "it was not in flight any more"
    assert isinstance(told.following, Outcome)
    assert told.following.word is Word.FOREIGN
    assert in_flight(redis) == [raw("Other", 2)]
    assert not desk.relay.allowed


def test_an_asynchronous_job_is_not_for_this_thread(redis: redis_py.Redis, desk: Desk) -> None:
    push(redis, raw("Task", 2))
    assert desk.relay.next(done(1)) == (True, None)
    [told] = desk.told()
    assert isinstance(told.following, Assigned)
    assert told.taken is None
    assert not desk.relay.allowed


def test_what_redis_refuses_is_left_to_the_exchange(redis: redis_py.Redis, desk: Desk) -> None:
    redis.set(LIST, "no list")
    push(redis, raw("Job", 2))
    outcome = done(1)
    assert desk.relay.next(outcome) == (True, None)
    assert desk.told() == [Relayed("default", outcome, None)]
    assert waiting(redis) == [raw("Job", 2)]
    redis.delete(LIST)
    desk.relay.allow("default", far())
    assert desk.relay.next(done(1))[1]


def test_an_answer_that_is_lost_leaves_both_jobs_in_doubt(redis: redis_py.Redis, desk: Desk) -> None:
    connected(desk)
    push(redis, raw("Job", 2), raw("Job", 3))
    redis.client_pause(1500)
    outcome = done(1)
    assert desk.relay.next(outcome) == (True, None)
    assert desk.told() == [Relayed("default", outcome, None, lost=True)]
    assert not desk.relay.allowed
    wait_until(lambda: redis.ping())
    desk.relay.allow("default", far())
    assert desk.relay.next(done(2))[1], "on a new connection"


def test_without_a_connection_nothing_changes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise redis_py.ConnectionError("nobody is there")

    monkeypatch.setattr(desk.client.connection_pool, "get_connection", refuse)
    assert desk.relay.next(done(1)) == (False, None)
    assert not desk.told()
    assert not desk.relay.allowed


def test_who_finds_no_connection_free_leaves_its_job(redis: redis_py.Redis, redis_url: str) -> None:
    desk = Desk(redis_url, connections=1)
    desk.relay.allow("default", far())
    connected(desk)
    push(redis, *(raw("Job", number) for number in range(10, 20)))
    redis.client_pause(300)
    answers: list[tuple[bool, Assigned | None]] = []
    threads = [threading.Thread(target=lambda n=n: answers.append(desk.relay.next(done(n)))) for n in range(4)]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(settled for settled, _ in answers) == [False, False, False, True]
    desk.relay.close()


def test_parked_and_closed_wait_for_what_is_under_way(redis: redis_py.Redis, desk: Desk) -> None:
    connected(desk)
    push(redis, raw("Job", 2))
    redis.client_pause(200)
    thread = threading.Thread(target=desk.relay.next, args=(done(1),))
    thread.start()
    wait_until(lambda: not desk.relay.parked and desk.relay._under_way)
    desk.relay.forbid()
    assert not desk.relay.parked
    desk.relay.close()
    assert desk.relay.parked
    [told] = desk.told()
    assert isinstance(told.following, Assigned)
    thread.join()


# With an exchange


@pytest.fixture(autouse=True)
def _no_look_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a busy machine makes a round trip seem."""
    monkeypatch.setattr("pykiq.worker.lookahead.QUICK", 0.0)
    monkeypatch.setattr("pykiq.worker.lookahead.SLOW", 0.0)


def slow(number: int) -> None:
    time.sleep(SLOW)


def calls(redis: redis_py.Redis) -> dict[str, int]:
    told = redis.info("commandstats")
    return {name: told.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("lrem", "lmove", "evalsha", "blmove")}


def test_slow_jobs_of_a_full_queue_need_no_turn_of_the_exchange(redis: redis_py.Redis, redis_url: str) -> None:
    push(redis, *(raw("Job", number) for number in range(300)))
    before = calls(redis)
    with staged(redis_url, registry(Job=slow), concurrency=3) as stage:
        wait_until(lambda: len(stage.reports.settled) == 300)
        assert stage.stop() is True
    after = calls(redis)
    assert stage.reports.fates == ["done"] * 300
    assert len({one.outcome.claimed.raw for one in stage.reports.settled}) == 300
    lines = [kind for kind, _ in stage.reports.lines]
    assert lines.count("start") == 300
    assert after["evalsha"] - before["evalsha"] <= 30
    assert 250 <= after["lmove"] - before["lmove"] <= 310
    assert in_flight(redis) == []


def test_threads_and_tasks_take_turns_on_a_full_queue(redis: redis_py.Redis, redis_url: str) -> None:
    push(redis, *(raw("Task" if number % 5 == 0 else "Job", number) for number in range(100)))
    with staged(redis_url, registry(Job=slow, Task=task), concurrency=3) as stage:
        wait_until(lambda: len(stage.reports.settled) == 100)
        assert stage.stop() is True
    assert stage.reports.fates == ["done"] * 100


def test_quick_jobs_are_left_to_the_exchange(
    redis: redis_py.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many of them share a round trip there."""
    allowed: list[float] = []
    monkeypatch.setattr("pykiq.worker.pool.QUICK", 1000.0)
    monkeypatch.setattr("pykiq.worker.relay.Relay.allow", lambda self, queue, until: allowed.append(until))
    push(redis, *(raw("Job", number) for number in range(60)))
    with staged(redis_url, registry(Job=slow), concurrency=3) as stage:
        wait_until(lambda: len(stage.reports.settled) == 60)
    assert not allowed


def test_the_start_of_each_job_is_told_before_its_end(redis: redis_py.Redis, redis_url: str) -> None:
    told: list[tuple[str, str]] = []

    def report(started: Any, settled: Any, met: Any = ()) -> None:
        told.extend(("start", assigned.jid) for assigned, _ in started)
        told.extend(("end", one.outcome.jid) for one in settled)

    push(redis, *(raw("Job", number) for number in range(60)))
    with staged(redis_url, registry(Job=slow), concurrency=2, report=report):
        wait_until(lambda: len(told) == 120)
    for kind, jid in told:
        assert kind == "start" or told.index(("start", jid)) < told.index(("end", jid))


def test_a_quiet_worker_fetches_nothing(redis: redis_py.Redis, redis_url: str) -> None:
    push(redis, *(raw("Job", number) for number in range(500)))
    with staged(redis_url, registry(Job=slow), concurrency=3) as stage:
        wait_until(lambda: len(stage.reports.settled) > 30)
        stage.quiet_turn()
        wait_until(lambda: stage.exchange.parked)
        left = redis.llen("queue:default")
        wait_until(lambda: not in_flight(redis))
        assert redis.llen("queue:default") == left
        assert len(stage.reports.settled) <= 500 - left
        assert stage.stop() is True
    assert len(stage.reports.settled) == 500 - left


def test_a_paused_queue_is_not_fetched_from(redis: redis_py.Redis, redis_url: str) -> None:
    push(redis, *(raw("Job", number) for number in range(500)))
    with staged(redis_url, registry(Job=slow), concurrency=3) as stage:
        wait_until(lambda: len(stage.reports.settled) > 30)
        stage.exchange.pause(frozenset({"default"}))
        wait_until(lambda: not in_flight(redis))
        left = redis.llen("queue:default")
        assert left > 0
        push(redis, raw("Job", 501))
        stage.exchange.pause(frozenset())
        wait_until(lambda: len(stage.reports.settled) == 501)


def test_a_stop_in_the_middle_loses_nothing(redis: redis_py.Redis, redis_url: str) -> None:
    jobs = {raw("Job", number) for number in range(200)}
    ran: list[int] = []

    def work(number: int) -> None:
        time.sleep(SLOW)
        ran.append(number)

    push(redis, *jobs)
    for _ in range(4):
        with staged(redis_url, registry(Job=work), concurrency=4) as stage:
            wait_until(lambda: len(stage.reports.settled) > 8)
            assert stage.stop(0.0) is True
        assert in_flight(redis) == []
        assert {*waiting(redis)} | {raw("Job", number) for number in ran} == jobs
        assert len(waiting(redis)) == len({*waiting(redis)}) >= 200 - len(ran)


def test_connections_that_break_lose_nothing(redis: redis_py.Redis, redis_url: str) -> None:
    ran: list[int] = []

    def work(number: int) -> None:
        time.sleep(SLOW)
        ran.append(number)

    push(redis, *(raw("Job", number) for number in range(400)))
    with staged(redis_url, registry(Job=work), concurrency=4) as stage:
        for part in range(1, 6):
            wait_until(lambda part=part: len(ran) > 40 * part)  # type: ignore[misc]
            redis.client_kill_filter(_type="normal", skipme=True)
        wait_until(lambda: {*ran} == {*range(400)}, 60)
        wait_until(lambda: not in_flight(redis))
        assert stage.stop() is True
    assert len(ran) < 440
    assert waiting(redis) == []


def test_a_queue_that_goes_before_is_served_first(redis: redis_py.Redis, redis_url: str) -> None:
    """Jobs are fetched from the first queue alone; a lower one is the exchange's."""
    ran: list[str] = []

    def work(name: str) -> None:
        time.sleep(SLOW)
        ran.append(name)

    push(redis, *(raw("Job", f"low{number}") for number in range(40)), queue="low")
    push(redis, *(raw("Job", f"high{number}") for number in range(40)), queue="high")
    with staged(redis_url, registry(Job=work), queues=["high", "low"], concurrency=2):
        wait_until(lambda: len(ran) == 80)
    assert all(name.startswith("high") for name in ran[:38])


def test_a_queue_that_is_shared_has_its_turns(redis: redis_py.Redis, redis_url: str) -> None:
    ran: list[str] = []

    def work(name: str) -> None:
        time.sleep(SLOW)
        ran.append(name)

    for number in range(10):
        push(redis, raw("Ruby", number), raw("Job", f"shared{number}"), queue="shared")
    push(redis, *(raw("Job", f"own{number}") for number in range(400)), queue="own")
    with staged(redis_url, registry(Job=work), queues=["shared", "own"], concurrency=2):
        wait_until(lambda: sum(name.startswith("shared") for name in ran) == 10)
        assert redis.llen("queue:own") > 0

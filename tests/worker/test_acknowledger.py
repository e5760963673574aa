"""Acknowledging from the thread that ran the job, on a real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import redis as redis_py

from pykiq.config import Config
from pykiq.records import Acknowledge, Claimed, Fate, Foreign, Outcome, PutBack, Settled, Started, Word
from pykiq.store import connection
from pykiq.store.connection import connect
from pykiq.worker.acknowledger import MOST_SENT, Acknowledger, Answered, Sent
from pykiq.worker.inbox import Inbox
from pykiq.worker.teller import Teller
from tests.servers import wait_until
from tests.store.jobs import berth
from tests.worker.stage import raw, registry, staged

PLACE = berth()
LIST = PLACE.inflight("default")


FAR = time.monotonic() + 1000  # the exchange does not look for answers: who sends waits for them
SOON = 0.0  # it does, at any moment


class RestingPool:
    at_rest = True

    def __init__(self) -> None:
        self.started: list[Started] = []

    def take_started(self) -> list[Started]:
        taken, self.started = self.started, []
        return taken


class Desk:
    """An acknowledger and what it tells."""

    def __init__(self, url: str) -> None:
        self.told: list[tuple[Sequence[Started], Sequence[Settled]]] = []
        self.inbox: Inbox[Any] = Inbox()
        self.pool = RestingPool()
        self.client = connect(Config.of(redis=url), timeout=1.0)
        teller = Teller(self.report)
        teller.pools = [self.pool]
        self.acknowledger = Acknowledger(PLACE, self.client, self.inbox, teller)
        self.acknowledger.plan(FAR)

    def report(self, started: Sequence[Started], settled: Sequence[Settled], met: Sequence[Foreign]) -> None:
        if started or settled:
            self.told.append((started, settled))

    def settle(self, outcome: Outcome) -> bool:
        return self.acknowledger.settle(self.pool, outcome)

    def connect(self) -> None:
        """Have a connection from here on; a server that pauses lets nobody in."""
        assert self.settle(done(0))
        self.told.clear()
        self.inbox.take()

    def messages(self) -> tuple[list[Outcome], list[Settled], list[Outcome], list[Outcome]]:
        """What the exchange is told: sent, settled, lost, refused."""
        sent, settled, lost, refused = list[Outcome](), list[Settled](), list[Outcome](), list[Outcome]()
        for message in self.inbox.take():
            if isinstance(message, Sent):
                sent.append(message.outcome)
            else:
                assert isinstance(message, Answered)
                settled += message.settled
                lost += message.lost
                refused += message.refused
        return sent, settled, lost, refused

    @property
    def fates(self) -> list[Fate]:
        return [one.fate for _, settled in self.told for one in settled]


@pytest.fixture
def desk(redis: redis_py.Redis, redis_url: str) -> Iterator[Desk]:
    made = Desk(redis_url)
    yield made
    redis.client_unpause()  # a test that fails leaves it paused
    made.acknowledger.close()


def done(number: int) -> Outcome:
    return Outcome(Claimed("default", raw("Job", number), 1.0), Word.DONE, Acknowledge(), "Job", str(number))


def test_a_job_that_is_done_leaves_in_flight_and_is_told_behind_its_start(redis: redis_py.Redis, desk: Desk) -> None:
    redis.lpush(LIST, raw("Job", 1), raw("Job", 2))
    start: Any = ("the start of", 1.0)
    desk.pool.started.append(start)
    outcome = done(1)
    assert desk.settle(outcome)
    assert redis.lrange(LIST, 0, -1) == [raw("Job", 2)]
    assert desk.told == [([start], [Settled(outcome, Fate.DONE)])]
    assert desk.messages() == ([outcome], [Settled(outcome, Fate.DONE)], [], [])


def test_one_that_is_gone_from_in_flight_was_taken_over(desk: Desk) -> None:
    assert desk.settle(done(1))
    assert desk.fates == [Fate.TAKEN_OVER]


def test_what_is_more_than_an_acknowledgement_is_left_to_the_exchange(redis: redis_py.Redis, desk: Desk) -> None:
    redis.lpush(LIST, raw("Job", 1))
    assert not desk.settle(done(1)._replace(write=PutBack()))
    assert redis.llen(LIST) == 1
    assert not desk.told
    assert not desk.inbox.take()


def test_of_several_at_once_one_is_settled_and_the_others_are_left(redis: redis_py.Redis, desk: Desk) -> None:
    redis.lpush(LIST, *(raw("Job", number) for number in range(8)))
    redis.client_pause(100)
    answers: list[bool] = []
    threads = [threading.Thread(target=lambda n=n: answers.append(desk.settle(done(n)))) for n in range(8)]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.count(True) == 8 - redis.llen(LIST) >= 1
    assert len(desk.fates) == answers.count(True)


def test_one_whose_answer_is_lost_is_settled_again_by_the_exchange(redis: redis_py.Redis, desk: Desk) -> None:
    desk.connect()
    redis.lpush(LIST, raw("Job", 1), raw("Job", 2))
    redis.client_pause(60_000, all=False)
    outcome = done(1)
    assert desk.settle(outcome)
    assert desk.messages() == ([outcome], [], [outcome], [])
    redis.client_unpause()
    assert not desk.told
    assert desk.settle(done(2)), "on a new connection"
    assert desk.fates == [Fate.DONE]


def test_what_redis_refuses_is_left_to_the_exchange(redis: redis_py.Redis, desk: Desk) -> None:
    redis.set(LIST, "no list")
    outcome = done(1)
    assert desk.settle(outcome)
    assert desk.messages() == ([outcome], [], [], [outcome])
    assert not desk.told
    redis.delete(LIST)
    redis.lpush(LIST, raw("Job", 1))
    assert desk.settle(done(1))


def test_without_a_connection_everything_is_left_to_the_exchange(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise redis_py.ConnectionError("nobody is there")

    monkeypatch.setattr(desk.client.connection_pool, "get_connection", refuse)
    assert not desk.settle(done(1))
    assert not desk.inbox.take()


@pytest.mark.skipif(connection.hiredis is None, reason="redis-py's own parser waits")
def test_nobody_waits_for_an_answer_that_the_exchange_looks_for_soon(redis: redis_py.Redis, desk: Desk) -> None:
    desk.connect()
    redis.lpush(LIST, raw("Job", 1), raw("Job", 2))
    desk.acknowledger.plan(SOON)
    redis.client_pause(60_000, all=False)
    outcomes = [done(1), done(2)]
    assert all(map(desk.settle, outcomes))
    desk.acknowledger.look()
    assert not desk.told, "Redis has not answered"
    assert desk.acknowledger.plan(FAR) < FAR, "the exchange does not sleep for long meanwhile"
    redis.client_unpause()
    wait_until(lambda: redis.llen(LIST) == 0)
    wait_until(lambda: desk.acknowledger.look() or len(desk.fates) == 2)
    assert desk.messages() == (outcomes, [Settled(outcome, Fate.DONE) for outcome in outcomes], [], [])
    assert desk.acknowledger.plan(FAR) == FAR


def test_who_waits_for_an_answer_takes_those_before_it_too(redis: redis_py.Redis, desk: Desk) -> None:
    redis.lpush(LIST, raw("Job", 1), raw("Job", 2))
    desk.acknowledger.plan(SOON)
    assert desk.settle(done(1))
    desk.acknowledger.plan(FAR)
    assert desk.settle(done(2))
    assert desk.fates == [Fate.DONE, Fate.DONE]


def test_only_so_many_answers_are_left_for_later(redis: redis_py.Redis, desk: Desk) -> None:
    desk.acknowledger.plan(SOON)
    for number in range(MOST_SENT):
        assert desk.settle(done(number))
    assert not desk.told
    assert desk.settle(done(MOST_SENT))
    assert len(desk.fates) == MOST_SENT + 1


def test_what_was_sent_on_a_connection_that_breaks_is_lost(redis: redis_py.Redis, desk: Desk) -> None:
    desk.acknowledger.plan(SOON)
    first, second = done(1), done(2)
    assert desk.settle(first)
    redis.client_kill_filter(_type="normal", skipme=True)
    assert desk.settle(second)
    wait_until(lambda: desk.acknowledger.look() or desk.acknowledger.plan(FAR) == FAR, what="nothing more to come")
    sent, settled, lost, refused = desk.messages()
    assert sent == [first, second]
    assert [one.outcome for one in settled] + lost == sent
    assert second in lost
    assert not refused


def test_answers_that_do_not_come_are_lost(redis: redis_py.Redis, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pykiq.worker.acknowledger.LATEST", 0.05)
    desk.connect()
    desk.acknowledger.plan(SOON)
    redis.client_pause(1000)
    outcome = done(1)
    assert desk.settle(outcome)
    wait_until(lambda: desk.acknowledger.look() or desk.acknowledger.plan(FAR) == FAR, what="no more patience")
    assert desk.messages() == ([outcome], [], [outcome], [])


def test_closing_takes_the_answers_that_are_to_come(redis: redis_py.Redis, desk: Desk) -> None:
    desk.acknowledger.plan(SOON)
    outcome = done(1)
    assert desk.settle(outcome)
    desk.acknowledger.close()
    assert desk.messages() == ([outcome], [Settled(outcome, Fate.TAKEN_OVER)], [], [])


def test_once_closed_it_leaves_everything(redis: redis_py.Redis, desk: Desk) -> None:
    redis.lpush(LIST, raw("Job", 1))
    desk.acknowledger.close()
    assert not desk.settle(done(1))
    assert redis.llen(LIST) == 1


def test_a_job_that_arrives_alone_costs_a_move_and_a_removal(
    redis: redis_py.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykiq.worker.intake.AT_ONCE", 0)  # on a busy machine a round trip takes as long as these waits

    def calls() -> dict[str, int]:
        told = redis.info("commandstats")
        return {
            name: told.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("blmove", "lrem", "evalsha", "lmove")
        }

    def waits() -> bool:
        return bool(redis.info("clients")["blocked_clients"] == 1)

    with staged(redis_url, registry(Job=lambda number: None)) as stage:
        wait_until(waits, what="the doorbell")
        before = calls()
        for number in range(50):
            redis.lpush("queue:default", raw("Job", number))
            wait_until(lambda number=number: len(stage.reports.settled) > number and waits())  # type: ignore[misc]
        after = calls()
        assert stage.stop() is True
    assert stage.reports.fates.count("done") == 50
    assert after["lrem"] - before["lrem"] == 50
    assert 50 <= after["blmove"] - before["blmove"] <= 52
    assert after["evalsha"] + after["lmove"] - before["evalsha"] - before["lmove"] <= 5


def test_a_slot_that_becomes_free_while_the_exchange_counts_it_as_taken_is_filled_at_once(
    redis: redis_py.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for constant in ("IDLE", "TICK"):  # no turn comes by itself
        monkeypatch.setattr(f"pykiq.worker.exchange.{constant}", 3600.0)
    settle = Acknowledger.settle

    def late(acknowledger: Acknowledger, pool: Any, outcome: Outcome) -> bool:
        """The thread has seen a pool at rest, and gets no further before the exchange has seen a full one."""
        wait_until(lambda: not pool.at_rest)
        return settle(acknowledger, pool, outcome)

    monkeypatch.setattr(Acknowledger, "settle", late)
    with staged(redis_url, registry(Job=lambda number: None), concurrency=1) as stage:
        for number in range(3):
            wait_until(lambda: redis.info("clients")["blocked_clients"] == 1, what="an armed doorbell")
            redis.lpush("queue:default", raw("Job", number))
            wait_until(lambda number=number: len(stage.reports.settled) == number + 1)  # type: ignore[misc]
        assert stage.stop() is True


def test_a_thread_that_was_interrupted_with_the_lock_does_not_keep_a_stop_waiting(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykiq.worker.acknowledger.LATEST", 0.1)
    desk.acknowledger._lock.acquire()
    closing = threading.Thread(target=desk.acknowledger.close)
    closing.start()
    closing.join(20)
    desk.acknowledger._lock.release()
    assert not closing.is_alive()

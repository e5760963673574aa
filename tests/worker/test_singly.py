"""Outcomes that Redis hangs up on: the others are settled, and what is too large is written in a form that it takes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis as redis_py

from pykiq.errors import Snooze
from pykiq.observe.tally import REFUSED, Tally
from pykiq.store.scripts import Call, send
from pykiq.worker import exchange, singly
from pykiq.worker.refused import LINES, Refused
from tests.logs import capture_logs
from tests.servers import Server, wait_until
from tests.worker.stage import Stage, in_flight, push, raw, registry, staged, waiting

MEGABYTE = 1 << 20
LIMITS = {
    "bulk": ("--proto-max-bulk-len", "1mb"),
    "query-buffer": ("--client-query-buffer-limit", "1mb"),
}


@pytest.fixture(scope="module", params=LIMITS.values(), ids=LIMITS)
def small(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that takes no more than a megabyte."""
    server = Server(options=request.param).start()
    yield server
    server.stop()


@pytest.fixture
def store(small: Server) -> Iterator[redis_py.Redis]:
    with small.client() as client:
        client.flushall()
        client.config_set("client-query-buffer-limit", MEGABYTE)
        client.config_set("proto-max-bulk-len", MEGABYTE)
        yield client


def fails(number: int, filling: str = "") -> None:
    raise ValueError("x" * 5000)


def snoozes(number: int, filling: str = "") -> None:
    raise Snooze(60)


def sleeps(number: int, filling: str = "") -> None:
    for _ in range(3000):
        time.sleep(0.01)  # and wakes for an Interrupted


HANDLERS = registry(Job=lambda *_: None, Fails=fails, Snoozes=snoozes)


def filled(name: str, size: int, **keys: Any) -> bytes:
    """A payload of exactly so many bytes."""
    bare = len(raw(name, 0, "", **keys))
    return raw(name, 0, "x" * (size - bare), **keys)


def laid(store: redis_py.Redis, *jobs: bytes) -> None:
    """Into the queue, although a command that brings one may be more than the server takes."""
    limit = store.config_get("client-query-buffer-limit")["client-query-buffer-limit"]
    store.config_set("client-query-buffer-limit", "1gb")
    push(store, *jobs)
    store.config_set("client-query-buffer-limit", limit)


@pytest.mark.parametrize("below", [0, 300, 6000])
def test_one_whose_retry_entry_is_too_large_keeps_no_other_waiting(
    small: Server, store: redis_py.Redis, below: int
) -> None:
    large = filled("Fails", MEGABYTE - 100 - below)
    laid(store, large, *(raw("Job", number) for number in range(50)))
    tally = Tally()
    with capture_logs() as lines, staged(small.url, HANDLERS, concurrency=5, refused=Refused(tally)) as stage:
        wait_until(lambda: stage.reports.fates.count("done") == 50, 20, "all others done")
        wait_until(lambda: len(stage.reports.settled) == 51, what="the large one settled")
        assert stage.stop() is True
    assert in_flight(store) == []
    told = [line for line in lines if line["event"] == "entry_refused"]
    if below == 6000 and "cut" not in str(told):
        assert told == [], "it was small enough for this server"
        return
    [line] = told
    assert (line["class"], line["queue"], line["step"]) == ("Fails", "default", "settle")
    assert line["size"] > MEGABYTE
    assert line["jid"] == json.loads(large)["jid"]
    assert {row.labels: row.total for row in tally.take() if row.name == REFUSED.name} == {("settle",): 1}
    [(outcome, fate)] = [one for one in stage.reports.settled if one.outcome.name == "Fails"]
    [entry] = store.zrange(fate.value, 0, -1)
    assert fate in ("retry", "dead")
    if fate == "dead":
        assert entry == large, "its bytes are as they were"
        assert outcome.died, "death handlers are told"
    else:
        assert json.loads(entry)["retry_count"] == 0
        assert len(json.loads(entry)["error_message"]) == 200


@pytest.mark.parametrize(
    ("payload", "fate", "key"),
    [
        (filled("Job", MEGABYTE - 10), "done", None),
        (filled("Fails", MEGABYTE - 10, retry=0), "dead", "dead"),
        (filled("Fails", MEGABYTE - 10, retry=False), "discarded", None),
        (filled("Snoozes", MEGABYTE - 10), "snoozed", "schedule"),
        (b"{" + b"x" * (MEGABYTE - 20), "dead", "dead"),
    ],
    ids=["done", "dead", "discarded", "snoozed", "unreadable"],
)
def test_every_end_of_a_job_at_the_limit_is_written(
    small: Server, store: redis_py.Redis, payload: bytes, fate: str, key: str | None
) -> None:
    laid(store, payload, *(raw("Job", number) for number in range(5)))
    with staged(small.url, HANDLERS) as stage:
        wait_until(lambda: len(stage.reports.settled) == 6, 20, "every job settled")
        assert stage.stop() is True
    assert sorted(stage.reports.fates) == sorted(["done"] * 5 + [fate])
    assert in_flight(store) == []
    if key is not None:
        assert store.zcard(key) == 1


def test_what_runs_at_a_stop_is_put_back_whatever_its_size(small: Server, store: redis_py.Redis) -> None:
    """Not even its removal can be sent."""
    jobs = [raw("Job", 1), filled("Job", MEGABYTE - 10), raw("Job", 2)]
    laid(store, *jobs)
    with staged(small.url, registry(Job=sleeps), concurrency=3) as stage:
        wait_until(lambda: len(stage.exchange.running()) == 3)
        assert stage.stop(timeout=0.05) is True
    assert sorted(waiting(store)) == sorted(jobs)
    assert set(stage.reports.fates) == {"requeued"}
    assert in_flight(store) == []


@pytest.mark.system
def test_a_redis_that_is_away_is_not_taken_for_one_that_refuses(redis: redis_py.Redis, redis_url: str) -> None:
    """Everything breaks then. Nothing is cut, buried or told for that."""
    broken: list[bool] = []

    class Breaking:
        def __init__(self, client: redis_py.Redis) -> None:
            self._client = client
            self.connection_pool = self

        def __getattr__(self, name: str) -> Any:
            return getattr(self._client, name)

        def get_connection(self) -> Any:
            if broken:
                raise redis_py.ConnectionError("away")
            return self._client.connection_pool.get_connection()

        def release(self, connection: Any) -> None:
            self._client.connection_pool.release(connection)

        def ping(self) -> Any:
            if broken:
                raise redis_py.ConnectionError("away")
            return self._client.ping()

    def away(number: int, filling: str = "") -> None:
        broken.append(True)
        raise ValueError("boom")

    push(redis, filled("Fails", MEGABYTE // 2))
    with capture_logs() as lines, staged(redis_url, registry(Fails=away), client=Breaking) as stage:
        wait_until(lambda: stage.exchange._flight.breaks > 4, 20, "tries in vain")
        broken.clear()
        wait_until(lambda: stage.reports.fates == ["retry"])
    assert [line for line in lines if line["event"] == "entry_refused"] == []


def test_a_settlement_whose_answer_comes_too_late_is_this_process_own(
    redis: redis_py.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found gone from in flight when it is tried again: not because another process has taken it over."""
    lost: list[bool] = []

    def send_and_lose(client: redis_py.Redis, calls: list[Call]) -> list[Any]:
        answers = send(client, calls)
        if not lost:
            lost.append(True)
            raise redis_py.TimeoutError("Timeout reading from socket")
        return answers

    monkeypatch.setattr(singly, "send", send_and_lose)
    monkeypatch.setattr(exchange, "MOST_BREAKS", 0)
    push(redis, raw("Job", 1))
    with staged(redis_url, HANDLERS) as stage:
        wait_until(lambda: stage.reports.fates, what="the end of the job")
    assert lost
    assert stage.reports.fates == ["done"]


def test_a_flood_of_refusals_is_counted_and_not_told(redis: redis_py.Redis) -> None:
    tally = Tally()
    refused = Refused(tally)
    with capture_logs() as lines:
        for number in range(1000):
            refused.entry("due", "Job", str(number), "low", 10, "left")
        refused.key("claim", "queue:x", "WRONGTYPE", "left")
    assert len(lines) == LINES + 2
    assert {row.labels: row.total for row in tally.take()} == {("due",): 1000, ("claim",): 1}


def test_a_settlement_that_is_refused_rests_and_keeps_no_job_waiting_that_arrives(
    redis: redis_py.Redis, redis_url: str
) -> None:
    """The whole process waited with it, and asked for no new job while it was idle."""
    redis.set("retry", "of another type")
    push(redis, raw("Fails", 1))
    with staged(redis_url, HANDLERS) as stage:
        wait_until(lambda: stage.exchange._flight.resting == 1, what="a settlement that rests")
        wait_until(lambda: redis.info("clients")["blocked_clients"] == 1, what="a doorbell")
        for number in range(20):
            push(redis, raw("Job", number))
            wait_until(lambda: stage.reports.fates.count("done") == number + 1)  # noqa: B023
        assert stage.exchange.answering
        assert in_flight(redis) == [raw("Fails", 1)]
        redis.delete("retry")
        assert stage.stop() is True
    assert redis.zcard("retry") == 1


@pytest.mark.system
def test_a_flood_of_settlements_that_are_refused_waits_in_its_queue(
    redis: redis_py.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each was kept in memory and in flight, and all of them were tried again every few seconds."""
    monkeypatch.setattr("pykiq.worker.exchange.MOST_REFUSED", 50)
    monkeypatch.setattr("pykiq.worker.flight.REST", 0.2)
    redis.set("retry", "of another type")
    for number in range(500):
        push(redis, raw("Fails", number))
    with capture_logs() as lines, staged(redis_url, HANDLERS) as stage:
        wait_until(lambda: stage.exchange._crowded, what="as many as may be")
        turned = stage.exchange.turned_at
        wait_until(lambda: stage.exchange.turned_at > turned + 1, what="a second in which they are tried again")
        assert 50 <= len(in_flight(redis)) < 250
        assert stage.exchange.answering
        redis.delete("retry")
        wait_until(lambda: redis.zcard("retry") == 500, what="all of them")
    assert [line["event"] for line in lines if line["event"].startswith("claims")] == ["claims_stopped", "claims_go_on"]


def test_a_stop_with_a_settlement_that_is_refused_to_the_end_is_not_clean(
    redis: redis_py.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykiq.worker.exchange.LAST_WORD", 0.5)
    redis.set("retry", "of another type")
    push(redis, raw("Fails", 1))
    stage = Stage(redis_url, HANDLERS).start()
    wait_until(lambda: stage.exchange._flight.resting == 1, what="a settlement that rests")
    assert stage.stop() is False
    assert in_flight(redis) == [raw("Fails", 1)], "whoever sweeps takes it over"

"""Entries that Redis does not send, and keys of another type: they keep nobody and nothing else waiting."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest
import redis as redis_py

from pykiq.config import Config
from pykiq.middleware.chain import Chain, ClientMiddleware
from pykiq.observe.tally import REFUSED, Row, Tally
from pykiq.store import leases
from pykiq.store.claim import Berth, claim_call
from pykiq.store.connection import connect
from pykiq.store.leftovers import POISON_TAKEOVERS
from pykiq.wire.dialect import SEVEN
from pykiq.worker.poller import Poller
from pykiq.worker.refused import Refused
from pykiq.worker.sweeper import Sweeper
from tests.logs import capture_logs
from tests.servers import Server, wait_until
from tests.worker.stage import in_flight, push, raw, registry, staged, waiting

MEGABYTE = 1 << 20
LIMIT = ("--client-output-buffer-limit", "normal 1mb 1mb 1")
OLD = "old:1:aaaaaaaaaaaa"
HUGE = raw("Huge", "x" * 3 * MEGABYTE)
HANDLERS = registry(Job=lambda *_: None, Huge=lambda *_: None)


@pytest.fixture(scope="module")
def narrow() -> Iterator[Server]:
    """A server that hangs up on who is to be sent more than a megabyte."""
    server = Server(options=LIMIT).start()
    yield server
    server.stop()


@pytest.fixture
def store(narrow: Server) -> Iterator[redis_py.Redis]:
    with narrow.client() as client:
        client.flushall()
        client.config_set("client-output-buffer-limit", "normal 1mb 1mb 1")
        yield client


def sizes(store: redis_py.Redis, key: str) -> list[int]:
    """Bytes of what is in a list, the oldest first, without having them sent."""
    lua = "local t = {} for i, v in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do table.insert(t, 1, #v) end return t"
    return list(store.eval(lua, 1, key))


# Taking over.


@pytest.fixture
def sweeper(narrow: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sweeper]:
    monkeypatch.setattr(leases, "AGAIN", 0.05)
    monkeypatch.setattr("pykiq.worker.sweeper.DOUBT", 0.0)
    config = Config.of(redis=narrow.url, sweep_interval=0.1, lease_ttl=1)
    berth = Berth("me:1:aaaaaaaaaaaa", ("default",), 12.0)
    made = Sweeper(config, berth, connect(config), poison_entry=lambda *_: b"{}", report=lambda *_: None)
    yield made
    made.close()


def leave_behind(store: redis_py.Redis, *jobs: bytes, owner: str = OLD, queue: str = "low") -> None:
    """A process has died with these in flight."""
    store.hset("pykiq:owners", owner, json.dumps([queue]))
    store.lpush(f"pykiq:inflight:{owner}:{queue}", *jobs)


def test_a_job_that_redis_does_not_send_is_taken_over_like_any_other(store: redis_py.Redis, sweeper: Sweeper) -> None:
    before = [raw("Job", number) for number in range(3)]
    leave_behind(store, *before, HUGE, raw("Job", 9))
    leave_behind(store, raw("Job", 10), owner=OLD[:-1] + "b", queue="other")
    with capture_logs() as lines:
        sweeper.start()
        wait_until(lambda: store.llen("queue:low") == 5 and store.llen("queue:other") == 1, what="all of them back")
    assert sizes(store, "queue:low") == [*map(len, before), len(HUGE), len(raw("Job", 9))]
    assert in_flight(store) == []
    [told] = [line for line in lines if line["event"] == "job_taken_over" and line["class"] == "Huge"]
    assert told["jid"] == json.loads(HUGE)["jid"]
    assert [line for line in lines if line["event"] == "sweep_failed"] == []


def test_more_than_redis_sends_at_once_is_taken_over_in_portions(store: redis_py.Redis, sweeper: Sweeper) -> None:
    jobs = [raw("Job", number, "x" * 100_000) for number in range(40)]
    for job in jobs:
        leave_behind(store, job)
    sweeper.start()
    wait_until(lambda: store.llen("queue:low") == 40, what="all of them back")
    assert [store.lindex("queue:low", -1 - place) for place in range(40)] == jobs


def test_a_poison_pill_that_redis_does_not_send_goes_to_dead_with_its_bytes(
    store: redis_py.Redis, sweeper: Sweeper
) -> None:
    sweeper.start()
    for number in range(POISON_TAKEOVERS):
        store.delete("queue:low")
        leave_behind(store, HUGE, owner=f"old:{number}:aaaaaaaaaaaa")
        wait_until(lambda: not store.hlen("pykiq:owners"), what="the takeover")
    assert store.llen("queue:low") == 0
    assert store.eval("return #redis.call('ZRANGE', KEYS[1], 0, 0)[1]", 1, "dead") == len(HUGE)


def test_suspects_that_redis_does_not_send_have_their_turns(store: redis_py.Redis, sweeper: Sweeper) -> None:
    jobs = [HUGE, raw("Huge", "y" * 2 * MEGABYTE)]
    sweeper.start()
    leave_behind(store, *jobs, owner="old:1:aaaaaaaaaaaa")
    wait_until(lambda: store.llen("queue:low") == 2, what="both back")
    store.delete("queue:low")
    leave_behind(store, *jobs, owner="old:2:aaaaaaaaaaaa")
    wait_until(lambda: sizes(store, "queue:low") == [len(HUGE)], what="the older one alone")
    wait_until(lambda: store.exists("pykiq:suspect"))
    store.delete("queue:low")  # it has ended
    wait_until(lambda: sizes(store, "queue:low") == [len(jobs[1])], what="the other one")


@pytest.mark.parametrize("odd", ["queue:low", f"pykiq:inflight:{OLD}:low"])
def test_a_key_of_another_type_keeps_no_other_queue_of_that_process_waiting(
    store: redis_py.Redis, sweeper: Sweeper, odd: str
) -> None:
    leave_behind(store, raw("Job", 1), queue="other")
    store.hset("pykiq:owners", OLD, json.dumps(["low", "other"]))
    store.rpush(f"pykiq:inflight:{OLD}:low", raw("Job", 2))
    store.delete(odd)
    store.set(odd, "of another type")
    sweeper.start()
    wait_until(lambda: store.llen("queue:other") == 1)
    assert store.hexists("pykiq:owners", OLD), "what is left stays findable"


def test_an_owner_whose_queues_redis_does_not_send_keeps_no_other_waiting(
    store: redis_py.Redis, sweeper: Sweeper
) -> None:
    store.hset("pykiq:owners", "odd:1:aaaaaaaaaaaa", "x" * 3 * MEGABYTE)
    leave_behind(store, raw("Job"))
    sweeper.start()
    wait_until(lambda: store.llen("queue:low") == 1)


# Claiming.


def test_a_job_that_redis_does_not_send_stays_in_flight_and_the_others_run(
    narrow: Server, store: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykiq.worker.doubt.ASK_AGAIN", 0.5)
    monkeypatch.setattr("pykiq.worker.doubt.AUDIT", 0.2)
    monkeypatch.setattr("pykiq.worker.intake.claim_few_call", claim_call)  # on its own, by a move, Redis may send it
    push(store, *(raw("Job", number) for number in range(20)), HUGE, *(raw("Job", number) for number in range(20, 40)))
    tally = Tally()
    with capture_logs() as lines, staged(narrow.url, HANDLERS, concurrency=8, refused=Refused(tally)) as stage:
        wait_until(lambda: stage.reports.fates.count("done") == 40, 20, "all others done")
        push(store, raw("Job", 50))
        wait_until(lambda: stage.reports.fates.count("done") == 41, 20, "one that comes later")
        wait_until(lambda: stage.exchange.in_flight() == 1)
        told = [line for line in lines if line["event"] == "entry_refused"]
        assert (told[0]["class"], told[0]["jid"]) == ("Huge", json.loads(HUGE)["jid"])
        assert (told[0]["queue"], told[0]["size"], told[0]["step"]) == ("default", len(HUGE), "claim")
        store.config_set("client-output-buffer-limit", "normal 0 0 0")
        wait_until(lambda: stage.reports.fates.count("done") == 42, 20, "it runs when the limit is raised")
        assert stage.stop() is True
    assert in_flight(store) == []
    assert [row.labels for row in tally.take() if row.name == REFUSED.name] == [("claim",)]


def test_at_a_stop_it_goes_back_to_its_queue(narrow: Server, store: redis_py.Redis) -> None:
    push(store, HUGE)
    with staged(narrow.url, HANDLERS) as stage:
        wait_until(lambda: stage.exchange._flight.withheld, 20, "it withheld")
        assert stage.stop() is True
    assert sizes(store, "queue:default") == [len(HUGE)]
    assert store.keys("pykiq:inflight:*") == []


def test_claims_that_are_more_than_redis_sends_at_once_become_smaller(narrow: Server, store: redis_py.Redis) -> None:
    jobs = [raw("Job", number, "x" * 200_000) for number in range(60)]
    for job in jobs:
        push(store, job)
    with staged(narrow.url, HANDLERS, concurrency=20) as stage:
        wait_until(lambda: stage.reports.fates.count("done") == 60, 30, "all done")
        assert stage.stop() is True
    assert {one.outcome.jid for one in stage.reports.settled} == {json.loads(job)["jid"] for job in jobs}
    assert in_flight(store) == []


def test_a_foreign_job_that_redis_does_not_send_keeps_none_of_ours_behind_it_waiting(
    narrow: Server, store: redis_py.Redis
) -> None:
    foreign = raw("Ruby::Huge", "x" * 3 * MEGABYTE)
    push(store, raw("Ruby::Job"), foreign, *(raw("Job", number) for number in range(20)))
    with staged(narrow.url, HANDLERS, concurrency=1) as stage:
        wait_until(lambda: stage.reports.fates.count("done") == 20, 20, "all of ours done")
        assert stage.stop() is True
    assert sorted(sizes(store, "queue:default")) == [len(raw("Ruby::Job")), len(foreign)]


# Due jobs.


def due_payload(name: str, size: int) -> bytes:
    bare = len(raw(name, 0, "", queue="low"))
    return raw(name, 0, "x" * (size - bare), queue="low")


@pytest.fixture
def poll(narrow: Server) -> Iterator[Callable[[], Tally]]:
    """Starts a poller; what it counts."""
    made: list[Poller] = []

    def start() -> Tally:
        config, tally = Config.of(redis=narrow.url, poll_interval=0.1), Tally()
        report, refusals = (lambda *_: None), Refused(tally)
        chain: Chain[ClientMiddleware] = Chain()
        poller = Poller(config, connect(config), chain, dialect=lambda _: SEVEN, report=report, refusals=refusals)
        made.append(poller)
        poller.start()
        return tally

    yield start
    for poller in made:
        poller.close()


def labels(tally: Tally) -> list[tuple[str, ...]]:
    """What has been counted, once something has: a due job is at rest before it is counted."""
    rows: list[Row] = []

    def counted() -> list[Row]:
        rows.extend(tally.take())
        return rows

    wait_until(counted, what="a count")
    return [row.labels for row in rows]


def test_a_due_job_that_redis_does_not_send_rests_and_the_others_are_moved(
    store: redis_py.Redis, poll: Callable[[], Tally]
) -> None:
    store.zadd("retry", {raw("Job", 1, queue="low"): 1, HUGE: 2, raw("Job", 2, queue="low"): 3})
    with capture_logs() as lines:
        tally = poll()
        wait_until(lambda: store.llen("queue:low") == 2, what="the others moved")
        wait_until(lambda: store.zcount("retry", "-inf", time.time()) == 0, what="the large one at rest")
    assert store.zcard("retry") == 1
    [told] = [line for line in lines if line["event"] == "entry_refused"]
    assert (told["class"], told["jid"], told["size"]) == ("Huge", json.loads(HUGE)["jid"], len(HUGE))
    assert labels(tally) == [("due",)]


def test_a_due_job_that_is_too_large_for_its_queue_rests_and_the_others_are_moved(
    store: redis_py.Redis, poll: Callable[[], Tally]
) -> None:
    """It was just below the limit, and `enqueued_at` is added."""
    store.config_set("client-output-buffer-limit", "normal 0 0 0")
    store.zadd("schedule", {due_payload("Large", MEGABYTE - 10): 50})
    store.zadd("schedule", {raw("Job", number, queue="low"): number for number in range(99)})
    store.config_set("proto-max-bulk-len", MEGABYTE)
    tally = poll()
    wait_until(lambda: store.llen("queue:low") == 99, what="the others moved")
    wait_until(lambda: store.zcount("schedule", "-inf", time.time()) == 0, what="the large one at rest")
    assert store.zcard("schedule") == 1
    assert labels(tally) == [("due",)]
    store.config_set("proto-max-bulk-len", "512mb")


def test_more_due_jobs_than_redis_sends_at_once_are_moved_in_portions(
    store: redis_py.Redis, poll: Callable[[], Tally]
) -> None:
    for number in range(40):
        store.zadd("retry", {raw("Job", number, "x" * 100_000, queue="low"): number})
    tally = poll()
    wait_until(lambda: store.llen("queue:low") == 40, what="all moved")
    assert [json.loads(store.lindex("queue:low", -1 - place))["args"][0] for place in range(40)] == list(range(40))
    assert tally.take() == []


# Keys of another type.


@pytest.mark.parametrize("odd", ["queue:bad", "pykiq:inflight:me:1:aaaaaaaaaaaa:bad"])
@pytest.mark.system
def test_a_queue_that_redis_refuses_rests_and_the_others_are_served_at_once(
    redis: redis_py.Redis, redis_url: str, odd: str
) -> None:
    """The whole process waited with it: it asked every two seconds, and said that Redis did not answer."""
    redis.set(odd, "of another type")
    if odd != "queue:bad":
        push(redis, raw("Job", "in vain"), queue="bad")
    tally = Tally()
    with (
        capture_logs() as lines,
        staged(redis_url, HANDLERS, queues=["bad", "good"], refused=Refused(tally)) as stage,
    ):
        wait_until(lambda: redis.info("clients")["blocked_clients"] == 1, what="a doorbell for the good one alone")
        for number in range(30):
            push(redis, raw("Job", number), queue="good")
            wait_until(lambda: stage.reports.fates.count("done") == number + 1, 2)  # noqa: B023
        assert stage.exchange.answering
        assert [line for line in lines if line["event"] == "redis_does_not_answer"] == []
        told = [line for line in lines if line["event"] == "key_refused"]
        assert {line["key"] for line in told} == {"queue:bad"}
        redis.delete(odd)
        push(redis, raw("Job", "at last"), queue="bad")
        wait_until(lambda: stage.reports.fates.count("done") >= 31, what="it is served again")
        assert stage.stop() is True
    assert waiting(redis, "bad") == []

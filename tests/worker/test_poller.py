"""The poller: due jobs as Ruby re-pushes them, nothing lost on the way, and jobs of dead processes back."""

from __future__ import annotations

import asyncio
import math
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis as redis_py

from pykiq.config import Config
from pykiq.middleware.chain import Chain, ClientMiddleware
from pykiq.records import Bury, Claimed, Fate, Later, Outcome, Settled, Word
from pykiq.store import due
from pykiq.store.claim import Berth
from pykiq.store.connection import connect
from pykiq.store.due import Move
from pykiq.store.leadership import Leadership
from pykiq.wire.dialect import EIGHT, SEVEN, SIX, Dialect, for_payload
from pykiq.wire.exactjson import dumps, loads
from pykiq.worker.poller import BATCH, HELD_BACK, LEADERSHIP_SECONDS, Poller, repush
from tests import captures
from tests.servers import wait_until
from tests.worker.stage import Reported, threads_here

DIALECTS = {"6.4.1": SIX, "7.3.2": SEVEN, "8.1.7": EIGHT}
NOW = 1_795_315_631.5
JOB = {"class": "Job", "args": [1], "jid": "ab" * 12, "queue": "low", "retry": 5, "created_at": 1_795_000_000.5}

Middleware = Callable[[dict[str, Any], Callable[[dict[str, Any]], Any]], Any]


def again(member: bytes, *middleware: Middleware, now: float = NOW, dialect: Dialect | None = None) -> Move:
    speech: Callable[[dict[str, Any]], Dialect] = lambda job: dialect or for_payload(job, SEVEN)  # noqa: E731
    return repush(member, now, Chain(*middleware), speech)


def packed(**keys: Any) -> bytes:
    return dumps(JOB | keys)


# As Ruby does it.


def stamp_of(entry: dict[str, Any], key: str) -> float:
    """A recorded time; half a millisecond keeps doubles from falling below what 8.1 has cut off."""
    return (entry[key] + 0.5) / 1000 if isinstance(entry[key], int) else float(entry[key])


@pytest.mark.parametrize("version", captures.VERSIONS)
@pytest.mark.parametrize(
    "name",
    [
        "poll_retry_basic",
        "poll_schedule_basic",
        "poll_schedule_basic_ms",
        "poll_retry_queue",
        "poll_unknown_class",
        "poll_missing_keys",
        "poll_with_at_past",
    ],
)
def test_the_bytes_are_those_that_ruby_pushes(version: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    capture = captures.read(version, name)
    [(_, member)] = capture.by_hand
    [(key, entry)] = [
        (command.words[0].decode(), command.words[1]) for command in capture.commands if command.verb == "lpush"
    ]
    ruby = loads(entry)
    monkeypatch.setattr(os, "urandom", lambda size: bytes.fromhex(ruby["jid"]))
    move = again(member, now=stamp_of(ruby, "enqueued_at"), dialect=DIALECTS[version])
    assert (move.kind, "queue:" + move.queue) == ("push", key)
    ours = loads(move.entry)
    if "created_at" not in loads(member):  # Ruby looks at the clock twice
        assert isinstance(ours["created_at"], type(ruby["created_at"]))
        ours["created_at"] = ruby["created_at"]
    assert dumps(ours, DIALECTS[version]) == entry


@pytest.mark.parametrize("version", captures.VERSIONS)
def test_a_payload_that_names_a_later_time_waits_for_it(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    capture = captures.read(version, "poll_with_at_future")
    [(_, member)] = capture.by_hand
    [entry] = capture.members("schedule")
    ruby = loads(entry)
    monkeypatch.setattr(os, "urandom", lambda size: bytes.fromhex(ruby.get("jid", "00" * 12)))
    move = again(member, now=stamp_of(ruby, "created_at"), dialect=DIALECTS[version])
    assert move == Move("schedule", member, entry=entry, at=capture.scores("schedule")[0])


def test_a_supplied_enqueued_at_leaves_a_scheduled_entry_unless_ruby_is_6() -> None:
    member = packed(at=NOW + 60, enqueued_at=NOW - 1)
    assert "enqueued_at" not in loads(again(member, dialect=SEVEN).entry)
    assert "enqueued_at" in loads(again(member, dialect=SIX).entry)


@pytest.mark.parametrize("version", captures.VERSIONS)
@pytest.mark.parametrize(
    "name", ["poll_invalid_json", "poll_no_class", "poll_no_args", "poll_args_hash", "poll_queue_empty"]
)
def test_what_ruby_loses_goes_to_dead_with_its_bytes(version: str, name: str) -> None:
    [(_, member)] = captures.read(version, name).by_hand[:1]
    move = again(member)
    assert move == Move("dead", member, entry=member, why=move.why)
    assert move.why


@pytest.mark.parametrize("queue", [None, 5, "", ["a"]])
def test_a_queue_that_is_no_name_makes_a_job_unusable(queue: object) -> None:
    member = packed(queue=queue)
    assert again(member).kind == "dead"


def test_the_dialect_of_the_job_decides_how_enqueued_at_is_written() -> None:
    assert loads(again(packed()).entry)["enqueued_at"] == NOW
    assert loads(again(packed(created_at=1_795_000_000_500)).entry)["enqueued_at"] == int(NOW * 1000)


def test_keys_that_nobody_knows_keep_their_place_and_their_bytes() -> None:
    member = (
        b'{"retry":true,"queue":"q","z":1.0e+20,"class":"Job","args":[123456789012345678901234567890],'
        b'"a":null,"jid":"x","created_at":1.5,"enqueued_at":2.5,"bad":"\xff"}'
    )
    assert again(member).entry == member.replace(b"2.5", b"1795315631.5")


# Client middleware runs again, and may do anything.


def test_middleware_sees_the_whole_job_and_what_it_changes_is_pushed() -> None:
    def change(job: dict[str, Any], call_next: Callable[[dict[str, Any]], Any]) -> Any:
        assert job == JOB
        job["locale"] = "de"
        job["queue"] = "high"
        return call_next(job)

    move = again(packed(), change)
    assert (move.kind, move.queue) == ("push", "high")
    assert loads(move.entry)["locale"] == "de"


def test_middleware_that_returns_nothing_stops_the_push() -> None:
    assert again(packed(), lambda job, call_next: None) == Move("drop", packed())


def test_middleware_may_send_the_job_off_until_later() -> None:
    move = again(packed(), lambda job, call_next: call_next({**job, "at": NOW + 60}))
    assert (move.kind, move.at) == ("schedule", NOW + 60)
    assert "at" not in loads(move.entry)


def raising(job: dict[str, Any], call_next: Callable[[dict[str, Any]], Any]) -> Any:
    raise ValueError("broken middleware")


def exiting(job: dict[str, Any], call_next: Callable[[dict[str, Any]], Any]) -> Any:
    sys.exit(3)


SPOILERS: list[Middleware] = [
    raising,
    exiting,
    lambda job, call_next: call_next({**job, "spoilt": object()}),
    lambda job, call_next: call_next({**job, "spoilt": float("nan")}),
    lambda job, call_next: "not a job",
    lambda job, call_next: {"class": "Job", "args": [], "queue": ""},
    lambda job, call_next: {"class": "Job", "args": [], "queue": 7},
    lambda job, call_next: {"args": [], "queue": "low"},
    lambda job, call_next: {"class": "Job", "args": []},
]


@pytest.mark.parametrize("spoiler", SPOILERS)
def test_a_job_whose_middleware_fails_rests_in_its_set_with_its_bytes(spoiler: Middleware) -> None:
    assert again(packed(), spoiler) == Move("later", packed(), entry=packed(), at=NOW + HELD_BACK)


# The thread.


@pytest.fixture
def reported() -> Reported:
    return Reported()


@pytest.fixture
def chain() -> Chain[ClientMiddleware]:
    return Chain()


@pytest.fixture
def poller(
    redis: redis_py.Redis, redis_url: str, chain: Chain[ClientMiddleware], reported: Reported
) -> Iterator[Poller]:
    config = Config.of(redis=redis_url, poll_interval=0.2, sweep_interval=0.2, lease_ttl=1)
    made = Poller(config, connect(config), chain, dialect=lambda job: for_payload(job, SEVEN), report=reported)
    yield made
    made.close()


def test_due_jobs_of_both_sets_arrive_and_others_wait(redis: redis_py.Redis, poller: Poller) -> None:
    redis.zadd("retry", {packed(args=["retry"]): 1000.5})
    redis.zadd("schedule", {packed(args=["schedule"]): 1000.5, packed(args=["later"]): time.time() + 1000})
    poller.start()
    wait_until(lambda: redis.llen("queue:low") == 2)
    assert [loads(raw)["args"] for raw in reversed(redis.lrange("queue:low", 0, -1))] == [["retry"], ["schedule"]]
    assert redis.zcard("schedule") == 1


def test_it_wakes_when_the_next_job_is_due(redis: redis_py.Redis, redis_url: str) -> None:
    config = Config.of(redis=redis_url, poll_interval=30, sweep_interval=11)
    due_at = time.time() + 0.4
    redis.zadd("schedule", {packed(): due_at})
    poller = Poller(config, connect(config), Chain(), dialect=lambda job: SEVEN, report=Reported())
    poller.start()
    wait_until(lambda: redis.llen("queue:low") == 1, 5, "a job that is due in 0.4 s")
    poller.close()
    enqueued_at = loads(redis.lindex("queue:low", 0))["enqueued_at"]
    assert 0 <= enqueued_at - due_at < 0.2


def test_one_bad_job_does_not_keep_the_others_waiting(
    redis: redis_py.Redis, poller: Poller, chain: Chain[ClientMiddleware]
) -> None:
    def picky(job: dict[str, Any], call_next: Callable[[dict[str, Any]], Any]) -> Any:
        if job["args"] == ["exit"]:
            sys.exit(1)
        return {"args": job["args"]} if job["args"] == ["spoil"] else call_next(job)

    chain.add(picky)
    redis.set("queue:notalist", "text")
    bad = [
        b"{broken",
        b"[]",
        packed(args=["exit"]),
        packed(args=["spoil"]),
        packed(queue="notalist"),
        b'{"class":"Job","args":[],"queue":"caf\xff"}',
    ]
    redis.zadd("schedule", {member: number for number, member in enumerate(bad)})
    redis.zadd("schedule", {packed(args=[number]): 100 for number in range(250)})
    poller.start()
    wait_until(lambda: redis.llen("queue:low") == 250)
    assert set(redis.zrange("dead", 0, -1)) == {b"{broken", b"not a job: []"}
    assert redis.llen(b"queue:caf\xff") == 1
    resting = dict(redis.zrange("schedule", 0, -1, withscores=True))
    assert set(resting) == {packed(args=["exit"]), packed(args=["spoil"]), packed(queue="notalist")}
    assert all(score > time.time() for score in resting.values())


def test_asynchronous_client_middleware_runs_around_due_jobs_too(
    redis: redis_py.Redis, poller: Poller, chain: Chain[ClientMiddleware]
) -> None:
    async def redirect(job: dict[str, Any], call_next: Callable[[dict[str, Any]], Any]) -> Any:
        await asyncio.sleep(0)
        return await call_next({**job, "queue": "elsewhere"})

    chain.add(redirect)
    redis.zadd("schedule", {packed(args=[1]): 100})
    poller.start()
    wait_until(lambda: redis.llen("queue:elsewhere") == 1)


def test_a_storm_in_one_set_keeps_the_other_from_nothing(
    redis: redis_py.Redis, poller: Poller, chain: Chain[ClientMiddleware], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Client middleware may take its time, a storm of retries too."""
    monkeypatch.setattr("pykiq.worker.poller.SLICE", 0.0)

    def slow(job: dict[str, Any], call_next: Callable[[dict[str, Any]], Any]) -> Any:
        time.sleep(0.002)
        return call_next(job)

    chain.add(slow)
    storm = 5 * BATCH
    redis.zadd("retry", {packed(args=[number]): 1 for number in range(storm)})
    redis.zadd("schedule", {packed(args=["scheduled"]): 1})
    poller.start()
    wait_until(lambda: redis.zcard("schedule") == 0, what="the scheduled job moved")
    assert redis.zcard("retry") > storm - BATCH, "one job of the storm for one of the other set"
    wait_until(lambda: redis.llen("queue:low") == storm + 1, 20, what="the storm over")


def test_a_stop_waits_for_the_middleware_of_one_job_and_not_of_a_whole_batch(
    redis: redis_py.Redis, poller: Poller, chain: Chain[ClientMiddleware]
) -> None:
    began = threading.Event()

    def slow(job: dict[str, Any], call_next: Callable[[dict[str, Any]], Any]) -> Any:
        began.set()
        time.sleep(0.1)
        return call_next(job)

    chain.add(slow)
    redis.zadd("retry", {packed(args=[number]): 1 for number in range(BATCH)})
    poller.start()
    assert began.wait(5)
    poller.close()
    assert not any(thread.name == "pykiq-poller" for thread in threads_here())
    moved = redis.llen("queue:low")
    assert 0 < moved < BATCH / 2, "what its middleware was asked about has moved"
    assert redis.zcard("retry") == BATCH - moved


def test_closing_ends_the_thread_even_before_it_began(redis_url: str, poller: Poller) -> None:
    poller.close()
    poller.start()
    wait_until(lambda: not any(thread.name == "pykiq-poller" for thread in threads_here()))


def test_random_bytes_in_the_sets_never_stop_it(redis: redis_py.Redis, poller: Poller) -> None:
    rng = random.Random(4)
    redis.zadd("retry", {rng.randbytes(rng.randrange(1, 40)): number for number in range(300)})
    redis.zadd("schedule", {packed(): 1})
    poller.start()
    wait_until(lambda: redis.llen("queue:low") == 1)
    assert redis.zcard("dead") == 300


def test_a_retry_of_this_process_that_is_due_before_the_next_round_brings_it_forward(
    redis: redis_py.Redis, redis_url: str
) -> None:
    config = Config.of(redis=redis_url, poll_interval=30, sweep_interval=11)
    poller = Poller(config, connect(config), Chain(), dialect=lambda job: SEVEN, report=Reported())
    poller.start()
    wait_until(lambda: poller._wakes_at > time.time() + 5, 5, "the first round over")
    at = time.time() + 0.1
    redis.zadd("retry", {packed(): at})
    outcome = Outcome(Claimed("low", packed(), NOW), Word.FAILED, Later("retry", at, packed()))
    poller.settled([Settled(outcome, Fate.RETRY)])
    wait_until(lambda: redis.llen("queue:low") == 1, 5, "the retry moved")
    poller.close()


def test_each_entry_that_the_poller_buries_is_reported_with_what_it_was_and_why(
    redis: redis_py.Redis, poller: Poller, reported: Reported
) -> None:
    redis.zadd("retry", {b"{broken": 1})
    redis.zadd("schedule", {packed(args={}): 1, packed(): 2})
    poller.start()
    wait_until(lambda: redis.llen("queue:low") == 1)
    told = [one.outcome for one in reported.settled]
    assert [(one.name, one.jid, one.claimed.queue) for one in told] == [("", "", "?"), ("Job", "ab" * 12, "low")]
    assert [one.write for one in told] == [Bury(b"{broken"), Bury(packed(args={}))]
    assert all(one.word is Word.UNREADABLE and one.died for one in told)
    assert "`retry`" in (told[0].error_message or "")
    assert (told[1].error_message or "").endswith("its args are not a list")


def test_what_another_process_has_buried_meanwhile_is_not_told(
    redis: redis_py.Redis, poller: Poller, reported: Reported, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = due.move

    def late(client: redis_py.Redis, key: str, *rest: Any) -> Any:
        redis.zrem(key, b"{broken")
        return move(client, key, *rest)

    monkeypatch.setattr(due, "move", late)
    redis.zadd("schedule", {b"{broken": 1, packed(): 2})
    poller.start()
    wait_until(lambda: redis.llen("queue:low") == 1)
    assert reported.settled == []


# One looks for all.


def one_of_several(url: str, number: int, peers: int = 1, life: float = LEADERSHIP_SECONDS, **settings: Any) -> Poller:
    config = Config.of(redis=url, **settings)
    leads = Leadership(Berth(f"host:{number}:aaaaaaaaaaaa", ("low",), 12.0), "pykiq:poller", life)
    about: dict[str, Any] = {"dialect": lambda job: SEVEN, "report": Reported(), "leadership": leads}
    return Poller(config, connect(config), Chain(), peers=lambda: peers, **about)


@pytest.fixture
def several(redis_url: str) -> Iterator[Callable[..., list[Poller]]]:
    made: list[Poller] = []

    def start(count: int, **settings: Any) -> list[Poller]:
        made.extend(one_of_several(redis_url, number, count, **settings) for number in range(count))
        for poller in made:
            poller.start()
        return made

    yield start
    for poller in made:
        poller.close()


def retried(at: float) -> Settled:
    outcome = Outcome(Claimed("low", packed(), NOW), Word.FAILED, Later("retry", at, packed()))
    return Settled(outcome, Fate.RETRY)


@pytest.mark.parametrize("count", [1, 8])
def test_a_due_job_costs_redis_the_same_however_many_processes_wait_for_it(
    redis: redis_py.Redis, several: Callable[..., list[Poller]], count: int
) -> None:
    def searches() -> int:
        return int(redis.info("commandstats").get("cmdstat_zrangebyscore", {"calls": 0})["calls"])

    pollers = several(count)
    wait_until(lambda: all(poller._wakes_at < math.inf for poller in pollers), what="the first look of each")
    before, now = searches(), time.time()
    redis.zadd("schedule", {packed(args=[number]): now + 2 + number / 10 for number in range(5)})
    wait_until(lambda: redis.llen("queue:low") == 5, 20)
    assert searches() - before <= 5, "one search for each, made by one of them"
    assert sum(poller._leadership.held for poller in pollers if poller._leadership) == 1


def test_what_is_due_waits_for_nobody_longer_than_for_the_end_of_the_leadership_of_one_that_died(
    redis: redis_py.Redis, several: Callable[..., list[Poller]]
) -> None:
    redis.set("pykiq:poller", "dead:1:bbbbbbbbbbbb", px=700)
    redis.zadd("retry", {packed(): 1})
    several(2)
    wait_until(lambda: redis.llen("queue:low") == 1)
    assert redis.get("pykiq:poller") != b"dead:1:bbbbbbbbbbbb"


def test_while_another_one_looks_it_leaves_the_sets_alone(
    redis: redis_py.Redis, several: Callable[..., list[Poller]]
) -> None:
    redis.set("pykiq:poller", "lives:1:bbbbbbbbbbbb", px=60_000)
    redis.zadd("retry", {packed(): 1})
    [poller] = several(1, life=60.0)
    wait_until(lambda: time.time() + 20 < poller._wakes_at < math.inf, what="the end of the first look")
    assert redis.zcard("retry") == 1


def test_a_retry_of_its_own_that_is_due_soon_it_moves_itself(
    redis: redis_py.Redis, several: Callable[..., list[Poller]]
) -> None:
    redis.set("pykiq:poller", "lives:1:bbbbbbbbbbbb", px=60_000)
    [poller] = several(1, life=60.0)
    wait_until(lambda: poller._wakes_at < math.inf, what="the first look")
    for delay in (0.4, 0.2):
        at = time.time() + delay
        redis.zadd("retry", {packed(args=[delay]): at})
        poller.settled([retried(at), retried(at + 3600)])
    wait_until(lambda: redis.llen("queue:low") == 2, 5)
    assert not poller._own, "and of what is due much later it knows nothing"


def test_where_it_fails_it_leaves_the_sets_to_another_one(
    redis: redis_py.Redis, several: Callable[..., list[Poller]], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[str] = []
    scores = due.next_scores

    def fails(client: redis_py.Redis) -> dict[str, float]:
        name = threading.current_thread().name
        if not failed:
            failed.append(redis.get("pykiq:poller").decode())
            raise redis_py.ResponseError(f"NOPERM {name}")
        return scores(client)

    monkeypatch.setattr(due, "next_scores", fails)
    redis.zadd("retry", {packed(): 1})
    first, second = several(2)
    wait_until(lambda: redis.llen("queue:low") == 1, 20)
    assert [first._leadership.held, second._leadership.held].count(True) == 1  # type: ignore[union-attr]


def test_it_gives_the_leadership_up_when_it_is_closed(
    redis: redis_py.Redis, several: Callable[..., list[Poller]]
) -> None:
    [poller] = several(1)
    wait_until(lambda: redis.exists("pykiq:poller"))
    poller.close()
    assert not redis.exists("pykiq:poller")


@pytest.mark.parametrize(("peers", "seconds"), [(1, 4.0), (2, 2.0), (4, 1.0), (1000, 1.0)])
def test_the_wider_the_fleet_the_more_often_one_looks_but_not_more_than_once_a_second(
    redis_url: str, peers: int, seconds: float
) -> None:
    assert one_of_several(redis_url, 1, peers)._between_looks() == seconds
    assert one_of_several(redis_url, 1, peers, poll_interval=0.2)._between_looks() == 0.2

"""Settling: each write, whole or not at all."""

from __future__ import annotations

import itertools

import pytest
import redis as redis_py
from redis.exceptions import ResponseError

from pykiq.config import Config
from pykiq.records import Acknowledge, Bury, Claimed, Later, PutBack, Word, Write
from pykiq.store.scripts import run
from pykiq.store.settle import FEW, LARGE, in_order, settle_call
from tests import captures
from tests.store.jobs import CONFIG, NOW, berth, claim, in_flight, outcome, push, raw, settle, waiting

ENTRY = b'{"class":"Job","retry_count":0}'

WRITES: list[tuple[Write, Word, str]] = [
    (Acknowledge(), Word.DONE, "done"),
    (Later("retry", NOW + 60, ENTRY), Word.FAILED, "retry"),
    (Later("schedule", NOW + 60, ENTRY), Word.SNOOZED, "snoozed"),
    (Bury(ENTRY), Word.FAILED, "dead"),
    (PutBack(), Word.INTERRUPTED, "requeued"),
    (PutBack(), Word.UNSTARTED, "handed_back"),
    (PutBack(), Word.FOREIGN, "handed_back"),
]


def held(redis: redis_py.Redis) -> dict[str, object]:
    """All that settling may write."""
    return {
        "queue": waiting(redis),
        "queues": redis.smembers("queues"),
        **{key: redis.zrange(key, 0, -1, withscores=True) for key in ("retry", "schedule", "dead")},
    }


NOTHING = {"queue": [], "queues": set(), "retry": [], "schedule": [], "dead": []}
WRITTEN = {
    "done": {},
    "retry": {"retry": [(ENTRY, NOW + 60)]},
    "snoozed": {"schedule": [(ENTRY, NOW + 60)]},
    "dead": {"dead": [(ENTRY, NOW)]},
    "requeued": {"queue": [raw(1)], "queues": {b"default"}},
    "handed_back": {"queue": [raw(1)], "queues": {b"default"}},
}


@pytest.mark.parametrize(("write", "word", "fate"), WRITES, ids=[f"{fate}-{word}" for _, word, fate in WRITES])
def test_a_job_leaves_in_flight_and_arrives_in_one_place(
    redis: redis_py.Redis, write: Write, word: Word, fate: str
) -> None:
    place = berth()
    push(redis, "default", raw(1))
    [claimed] = claim(redis, place, 1)
    assert settle(redis, place, outcome(claimed, write, word)) == [fate]
    assert in_flight(redis, place) == []
    assert held(redis) == NOTHING | WRITTEN[fate]


@pytest.mark.parametrize(("write", "word", "fate"), WRITES, ids=[f"{fate}-{word}" for _, word, fate in WRITES])
def test_nothing_is_written_for_a_job_that_another_process_has_taken_over(
    redis: redis_py.Redis, write: Write, word: Word, fate: str
) -> None:
    place = berth()
    assert settle(redis, place, outcome(Claimed("default", raw(1), NOW), write, word)) == ["taken_over"]
    assert held(redis) == NOTHING


@pytest.mark.parametrize(("write", "word", "fate"), WRITES, ids=[f"{fate}-{word}" for _, word, fate in WRITES])
def test_a_settlement_sent_twice_is_written_once(redis: redis_py.Redis, write: Write, word: Word, fate: str) -> None:
    place = berth()
    push(redis, "default", raw(1))
    [claimed] = claim(redis, place, 1)
    settle(redis, place, outcome(claimed, write, word))
    once = held(redis)
    settle(redis, place, outcome(claimed, write, word))
    assert held(redis) == once


def test_discarded_jobs_say_so(redis: redis_py.Redis) -> None:
    place = berth()
    push(redis, "default", raw(1))
    [claimed] = claim(redis, place, 1)
    assert settle(redis, place, outcome(claimed, Acknowledge(), discarded=True)) == ["discarded"]


def test_a_whole_turn_is_settled_in_one_step_and_each_job_gets_its_own_fate(redis: redis_py.Redis) -> None:
    place = berth("a", "b")
    push(redis, "a", raw(1), raw(2))
    push(redis, "b", raw(3), raw(4))
    one, two, three, four = claim(redis, place, 4)
    gone = Claimed("a", raw(9), NOW)
    fates = settle(
        redis,
        place,
        outcome(one, PutBack(), Word.INTERRUPTED),
        outcome(two),
        outcome(gone),
        outcome(three, Later("retry", NOW, ENTRY), Word.FAILED),
        outcome(four, Bury(raw(4)), Word.UNREADABLE),
    )
    assert fates == ["requeued", "done", "taken_over", "retry", "dead"]
    assert waiting(redis, "a") == [raw(1)]
    assert redis.keys("pykiq:inflight:*") == []


def test_jobs_put_back_are_next_in_the_order_they_were_claimed_in(redis: redis_py.Redis) -> None:
    place = berth()
    push(redis, "default", *map(raw, range(5)))
    early = [Claimed(one.queue, one.raw, NOW + n) for n, one in enumerate(claim(redis, place, 3))]
    for order in itertools.permutations(early):
        settle(redis, place, *(outcome(one, PutBack(), Word.INTERRUPTED) for one in order))
        assert waiting(redis) == [*map(raw, range(5))]
        claim(redis, place, 3)


def test_jobs_of_one_claim_put_back_keep_their_order(redis: redis_py.Redis) -> None:
    place = berth()
    push(redis, "default", *map(raw, range(5)))
    claimed = claim(redis, place, 3)  # they share the time of their claim
    settle(redis, place, *(outcome(one, PutBack(), Word.INTERRUPTED) for one in claimed))
    assert waiting(redis) == [*map(raw, range(5))]


def test_of_two_equal_payloads_in_flight_one_settlement_removes_one(redis: redis_py.Redis) -> None:
    place = berth()
    push(redis, "default", raw(1), raw(1))
    first, second = claim(redis, place, 2)
    assert settle(redis, place, outcome(first)) == ["done"]
    assert in_flight(redis, place) == [raw(1)]
    assert settle(redis, place, outcome(second, Later("retry", NOW, ENTRY), Word.FAILED)) == ["retry"]
    assert in_flight(redis, place) == []


def test_two_equal_payloads_are_settled_in_one_step(redis: redis_py.Redis) -> None:
    place = berth()
    push(redis, "default", raw(1), raw(1))
    first, second = claim(redis, place, 2)
    assert settle(redis, place, outcome(first), outcome(second, Bury(raw(1)), Word.FAILED)) == ["done", "dead"]
    assert redis.zcard("dead") == 1


@pytest.mark.parametrize("version", captures.VERSIONS)
def test_dead_keeps_one_entry_less_than_its_limit_as_ruby_does(redis: redis_py.Redis, version: str) -> None:
    recorded = captures.read(version, "dead_max_jobs_3")
    survivors = len(recorded.members("dead"))
    assert survivors == 2
    config = Config.of(dead_max_jobs=3)
    place = berth()
    for number in range(5):
        push(redis, "default", raw(number))
        [claimed] = claim(redis, place, 1)
        settle(redis, place, outcome(claimed, Bury(raw(number)), Word.FAILED), config=config, now=NOW + number)
    assert redis.zrange("dead", 0, -1) == [raw(3), raw(4)]


@pytest.mark.parametrize("version", captures.VERSIONS)
def test_dead_drops_what_is_older_than_the_limit_or_exactly_as_old(redis: redis_py.Redis, version: str) -> None:
    trims = [
        command for command in captures.read(version, "dead_timeout").commands if command.verb == "zremrangebyscore"
    ]
    assert trims
    assert all(trim.words[1] == b"-inf" for trim in trims)
    config = Config.of(dead_timeout=100)
    redis.zadd("dead", {b"older": NOW - 101, b"just": NOW - 100, b"younger": NOW - 99.5})
    place = berth()
    push(redis, "default", raw(1))
    [claimed] = claim(redis, place, 1)
    settle(redis, place, outcome(claimed, Bury(raw(1)), Word.FAILED), config=config)
    assert redis.zrange("dead", 0, -1) == [b"younger", raw(1)]


def test_dead_is_not_trimmed_when_nothing_is_buried(redis: redis_py.Redis) -> None:
    redis.zadd("dead", {b"ancient": 1})
    place = berth()
    push(redis, "default", raw(1))
    [claimed] = claim(redis, place, 1)
    settle(redis, place, outcome(claimed))
    assert redis.zcard("dead") == 1


@pytest.mark.parametrize(
    ("key", "write"),
    [
        ("retry", Later("retry", NOW, ENTRY)),
        ("schedule", Later("schedule", NOW, ENTRY)),
        ("dead", Bury(ENTRY)),
        ("queue:default", PutBack()),
    ],
)
def test_a_write_that_redis_refuses_leaves_the_job_in_flight(redis: redis_py.Redis, key: str, write: Write) -> None:
    place = berth()
    push(redis, "default", raw(1), raw(2))
    one, two = claim(redis, place, 2)
    redis.set(key, "of another type")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        settle(redis, place, outcome(two, write, Word.FAILED))
    assert in_flight(redis, place) == [raw(2), raw(1)]
    redis.delete(key)
    assert "taken_over" not in settle(redis, place, outcome(two, write, Word.FAILED), outcome(one))


def test_a_score_that_is_no_number_leaves_the_job_in_flight(redis: redis_py.Redis) -> None:
    place = berth()
    push(redis, "default", raw(1))
    [claimed] = claim(redis, place, 1)
    with pytest.raises(ResponseError, match="float"):
        settle(redis, place, outcome(claimed, Later("schedule", float("nan"), ENTRY), Word.SNOOZED))
    assert in_flight(redis, place) == [raw(1)]


def test_a_put_back_that_is_refused_does_not_keep_the_list_of_queues_from_being_right(redis: redis_py.Redis) -> None:
    redis.set("queues", "of another type")
    place = berth()
    push(redis, "default", raw(1))
    [claimed] = claim(redis, place, 1)
    assert settle(redis, place, outcome(claimed, PutBack(), Word.INTERRUPTED)) == ["requeued"]
    assert waiting(redis) == [raw(1)]


def test_bytes_of_any_kind_come_back_as_they_were(redis: redis_py.Redis) -> None:
    odd = b'{"class":"Job","args":["\xff\x00\r\n"]}'
    place = berth()
    push(redis, "default", odd)
    [claimed] = claim(redis, place, 1)
    settle(redis, place, outcome(claimed, PutBack(), Word.INTERRUPTED))
    assert waiting(redis) == [odd]


def test_settling_names_the_queues_of_its_jobs_and_no_other() -> None:
    place = berth("a", "b")
    call = settle_call(place, in_order([outcome(Claimed("b", raw(1), NOW), PutBack())]), NOW, CONFIG)
    assert list(call.keys) == ["retry", "schedule", "dead", "queues", place.inflight("b"), "queue:b"]


def test_a_few_jobs_that_are_done_leave_by_a_removal_each(redis: redis_py.Redis) -> None:
    place = berth()
    push(redis, "default", *map(raw, range(FEW)))
    claimed = claim(redis, place, FEW)
    batch = in_order([outcome(one) for one in claimed])
    call = settle_call(place, batch, NOW, CONFIG)
    assert call.script is None
    assert [command[0] for command in call.before] == ["LREM"] * FEW
    assert run(redis, call) == [1] * FEW
    assert run(redis, call) == [0] * FEW, "they are gone"
    one_more = [outcome(one) for one in claimed] + [outcome(claimed[0])]
    assert settle_call(place, in_order(one_more), NOW, CONFIG).script


def test_a_thousand_outcomes_are_one_call(redis: redis_py.Redis) -> None:
    place = berth()
    push(redis, "default", *map(raw, range(1000)))
    claimed = claim(redis, place, 1000)
    answer = run(redis, settle_call(place, in_order([outcome(one) for one in claimed]), NOW, CONFIG))
    assert answer == [1] * 1000


def large(number: int) -> bytes:
    return raw(number, note="x" * LARGE)


def test_what_is_large_and_leaves_nothing_to_write_needs_no_script(redis: redis_py.Redis) -> None:
    place = berth()
    push(redis, "default", *map(large, (1, 2, 3)))
    first, second, third = claim(redis, place, 3)
    assert settle_call(place, in_order([outcome(first)]), NOW, CONFIG).script is None
    fates = settle(redis, place, outcome(first, PutBack(), Word.INTERRUPTED), outcome(second), outcome(third))
    assert fates == ["requeued", "done", "done"]
    assert waiting(redis) == [large(1)]
    assert settle(redis, place, outcome(second)) == ["taken_over"]


def test_of_two_equal_large_payloads_in_flight_one_settlement_removes_one(redis: redis_py.Redis) -> None:
    place = berth()
    push(redis, "default", large(1), large(1))
    first, _ = claim(redis, place, 2)
    assert settle(redis, place, outcome(first)) == ["done"]
    assert in_flight(redis, place) == [large(1)]


def test_a_removal_that_is_refused_is_the_answer_of_the_call(redis: redis_py.Redis) -> None:
    place = berth()
    push(redis, "default", large(1), large(2))
    first, second = claim(redis, place, 2)
    redis.set(place.inflight("default"), "of another type")
    for ends in ([outcome(first)], [outcome(first), outcome(second, PutBack())]):
        with pytest.raises(redis_py.ResponseError, match="WRONGTYPE"):
            run(redis, settle_call(place, in_order(ends), NOW, CONFIG))

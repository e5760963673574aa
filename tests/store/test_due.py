"""Due jobs: each is in its set or in its queue, never in both and never in neither."""

from __future__ import annotations

import math
import threading

import pytest
import redis as redis_py

from pykiq.config import Config
from pykiq.store.due import REST, Move, Moved, move, next_score, next_scores, peek
from tests.servers import Server
from tests.store.jobs import CONFIG, NOW, raw, waiting


def pushed(member: bytes, queue: str = "default", entry: bytes = b"") -> Move:
    return Move("push", member, queue=queue, entry=entry or member + b" pushed")


def test_the_earliest_due_members_are_seen_first_and_nothing_is_removed(redis: redis_py.Redis) -> None:
    redis.zadd("retry", {b"c": NOW + 0.001, b"b": NOW, b"a": NOW - 5})
    assert [one.raw for one in peek(redis, "retry", NOW, 10)] == [b"a", b"b"]
    assert [one.raw for one in peek(redis, "retry", NOW, 1)] == [b"a"]
    assert redis.zcard("retry") == 3


def test_the_next_score_is_the_earliest_of_both_sets(redis: redis_py.Redis) -> None:
    assert next_score(redis) is None
    redis.zadd("schedule", {b"a": NOW + 9})
    assert next_score(redis) == NOW + 9
    redis.zadd("retry", {b"b": NOW + 3.5, b"c": NOW + 20})
    assert next_score(redis) == NOW + 3.5
    assert next_scores(redis) == {"retry": NOW + 3.5, "schedule": NOW + 9}


def test_a_key_of_another_type_has_no_score_and_is_looked_into_all_the_same(redis: redis_py.Redis) -> None:
    redis.set("retry", "text")
    assert next_score(redis) is None
    assert next_scores(redis) == {"retry": -math.inf}
    redis.zadd("schedule", {b"a": NOW})
    assert next_score(redis) == NOW


def test_a_pushed_job_leaves_the_set_and_is_the_newest_of_its_queue(redis: redis_py.Redis) -> None:
    redis.zadd("retry", {raw(1): 1})
    redis.lpush("queue:default", b"older")
    assert move(redis, "retry", [pushed(raw(1), entry=b"new bytes")], NOW, CONFIG) == [Moved.DONE]
    assert redis.zcard("retry") == 0
    assert waiting(redis) == [b"older", b"new bytes"]
    assert redis.smembers("queues") == {b"default"}


def test_moves_of_one_step_go_to_their_own_queues(redis: redis_py.Redis) -> None:
    redis.zadd("schedule", {b"a": 1, b"b": 2, b"c": 3})
    moves = [pushed(b"a", "low"), pushed(b"b", "high"), pushed(b"c", "low")]
    assert move(redis, "schedule", moves, NOW, CONFIG) == [Moved.DONE] * 3
    assert waiting(redis, "low") == [b"a pushed", b"c pushed"]
    assert waiting(redis, "high") == [b"b pushed"]


def test_later_stays_in_its_set_with_its_new_time(redis: redis_py.Redis) -> None:
    redis.zadd("retry", {raw(1): 1})
    assert move(redis, "retry", [Move("later", raw(1), entry=raw(1), at=NOW + 5)], NOW, CONFIG) == [Moved.DONE]
    assert redis.zrange("retry", 0, -1, withscores=True) == [(raw(1), NOW + 5)]


def test_a_dropped_job_is_gone(redis: redis_py.Redis) -> None:
    redis.zadd("retry", {raw(1): 1})
    assert move(redis, "retry", [Move("drop", raw(1))], NOW, CONFIG) == [Moved.DONE]
    assert redis.keys("*") == []


def test_an_unusable_member_goes_to_dead_with_its_bytes_and_dead_is_trimmed(redis: redis_py.Redis) -> None:
    config = Config.of(dead_max_jobs=2, dead_timeout=100)
    redis.zadd("dead", {b"old": NOW - 100, b"young": NOW - 1})
    redis.zadd("schedule", {b"{broken \xff": 1})
    assert move(redis, "schedule", [Move("dead", b"{broken \xff", entry=b"{broken \xff")], NOW, config) == [Moved.DONE]
    assert redis.zrange("dead", 0, -1, withscores=True) == [(b"{broken \xff", NOW)]
    assert redis.zcard("schedule") == 0


@pytest.mark.parametrize("kind", ["push", "later", "dead", "drop"])
def test_nothing_is_written_for_a_member_that_is_gone(redis: redis_py.Redis, kind: str) -> None:
    one = Move(kind, raw(1), queue="default" if kind == "push" else "", entry=raw(1), at=NOW)  # type: ignore[arg-type]
    assert move(redis, "retry", [one], NOW, CONFIG) == [Moved.GONE]
    assert redis.keys("*") == []


@pytest.mark.parametrize(
    ("key", "one"),
    [("queue:default", pushed(raw(1))), ("dead", Move("dead", raw(1), entry=raw(1)))],
)
def test_a_job_whose_destination_is_refused_rests_in_its_set(redis: redis_py.Redis, key: str, one: Move) -> None:
    redis.set(key, "of another type")
    redis.zadd("retry", {raw(1): 1, raw(2): 2})
    assert move(redis, "retry", [one, pushed(raw(2), "other")], NOW, CONFIG) == [Moved.REFUSED, Moved.DONE]
    assert redis.zrange("retry", 0, -1, withscores=True) == [(raw(1), NOW + REST)]
    assert waiting(redis, "other") == [raw(2) + b" pushed"]


def test_a_queue_of_any_name_is_the_one_that_the_payload_named(redis: redis_py.Redis) -> None:
    redis.zadd("schedule", {b"a": 1})
    queue = b"caf\xff".decode("utf-8", "surrogateescape")
    assert move(redis, "schedule", [pushed(b"a", queue)], NOW, CONFIG) == [Moved.DONE]
    assert redis.lrange(b"queue:caf\xff", 0, -1) == [b"a pushed"]
    assert redis.smembers("queues") == {b"caf\xff"}


def test_two_pollers_that_race_move_each_job_once(redis: redis_py.Redis, server: Server) -> None:
    members = [raw(number) for number in range(400)]
    redis.zadd("schedule", {member: number for number, member in enumerate(members)})
    together = threading.Barrier(2)
    moved: list[list[bytes]] = [[], []]

    def poll(number: int) -> None:
        with server.client() as client:
            together.wait()
            while batch := [one.raw or b"" for one in peek(client, "schedule", NOW, 20)]:
                answers = move(client, "schedule", [pushed(one, entry=one) for one in batch], NOW, CONFIG)
                moved[number] += [one for one, answer in zip(batch, answers, strict=True) if answer is Moved.DONE]

    pollers = [threading.Thread(target=poll, args=(number,)) for number in range(2)]
    for poller in pollers:
        poller.start()
    for poller in pollers:
        poller.join()
    assert sorted(moved[0] + moved[1]) == sorted(members)
    assert sorted(waiting(redis)) == sorted(members)

"""The walk through a queue: no job that waits is missed, whatever is pushed, taken or deleted meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis as redis_py
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pykiq.store import queues

JOBS = [b"j%02d" % n for n in range(40)]


@pytest.fixture
def filled(redis: redis_py.Redis) -> redis_py.Redis:
    redis.rpush("queue:q", *JOBS)  # the first is the newest
    return redis


def walk(redis: redis_py.Redis, meanwhile: Callable[[int, list[bytes]], object], page: int = 6) -> list[bytes]:
    seen = []
    for turn, found in enumerate(queues.pages(redis, "q", page=page)):
        seen += found
        meanwhile(turn, found)
    return seen


def test_the_newest_job_comes_first(filled: redis_py.Redis) -> None:
    assert walk(filled, lambda turn, found: None) == JOBS
    assert walk(filled, lambda turn, found: None, page=40) == JOBS
    assert list(queues.pages(filled, "none")) == []


def test_jobs_that_are_taken_do_not_disturb_the_walk(filled: redis_py.Redis) -> None:
    seen = walk(filled, lambda turn, found: filled.rpop("queue:q", 3))
    assert seen == JOBS[: len(seen)]
    assert len(seen) >= 24


@pytest.mark.parametrize("pushed", [1, 5, 6, 50])
def test_jobs_that_are_pushed_do_not_make_others_come_twice(filled: redis_py.Redis, pushed: int) -> None:
    seen = walk(filled, lambda turn, found: filled.lpush("queue:q", *[f"n{turn}-{n}" for n in range(pushed)]))
    assert seen == JOBS


@pytest.mark.parametrize("left", [0, 1, 3, 5])
def test_a_walk_that_deletes_what_it_sees_misses_nothing(filled: redis_py.Redis, left: int) -> None:
    seen = walk(filled, lambda turn, found: queues.delete(filled, "q", found[left:]))
    assert seen == JOBS


def test_pushes_and_deletions_together_lose_nothing_from_view(filled: redis_py.Redis) -> None:
    def meanwhile(turn: int, found: list[bytes]) -> None:
        queues.delete(filled, "q", found[::2])
        filled.lpush("queue:q", *[f"n{turn}-{n}" for n in range(4)])

    assert [job for job in walk(filled, meanwhile) if job in JOBS] == JOBS


@pytest.mark.parametrize("passed", [13, 18, 24])
def test_many_that_were_passed_may_be_deleted_at_once(filled: redis_py.Redis, passed: int) -> None:
    seen = walk(filled, lambda turn, found: turn == 3 and queues.delete(filled, "q", JOBS[:passed]))
    assert set(seen) == set(JOBS)
    assert len(seen) <= len(JOBS) + 6, "those of one page may come again"


def test_a_walk_whose_every_page_is_deleted_while_others_stay_before_it_ends(filled: redis_py.Redis) -> None:
    seen = walk(filled, lambda turn, found: turn > 2 and queues.delete(filled, "q", found))
    assert seen == JOBS


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.integers(0, 9), st.sets(st.integers(0, 39))), min_size=1, max_size=12), st.integers(1, 9))
def test_a_job_that_waits_all_the_time_is_seen(redis: redis_py.Redis, turns: list[int | set[int]], page: int) -> None:
    """`turns`: how many are pushed, or which of those passed are deleted."""
    redis.delete("queue:q")
    redis.rpush("queue:q", *JOBS)
    passed: set[bytes] = set()

    def meanwhile(turn: int, found: list[bytes]) -> None:
        passed.update(found)
        step = turns[turn] if turn < len(turns) else 0
        if isinstance(step, set):
            queues.delete(redis, "q", [JOBS[n] for n in step if JOBS[n] in passed])
        elif step:
            redis.lpush("queue:q", *[f"n{turn}-{n}" for n in range(step)])

    walk(redis, meanwhile, page)
    assert passed >= set(JOBS)


def test_a_deletion_tells_which_jobs_were_there(filled: redis_py.Redis) -> None:
    assert queues.delete(filled, "q", [b"j00", b"gone", b"j01"]) == [True, False, True]
    assert queues.size(filled, "q") == 38
    assert queues.oldest(filled, "q") == b"j39"


def test_a_queue_that_is_cleared_is_no_longer_listed(filled: redis_py.Redis) -> None:
    filled.sadd("queues", "q", b"\xff")
    assert queues.names(filled) == ["q", "\udcff"]
    queues.clear(filled, "q")
    queues.clear(filled, "\udcff")
    assert filled.keys("*") == []


def test_paused_queues_are_in_the_set_that_ruby_s_own_pages_read(redis: redis_py.Redis) -> None:
    assert queues.pause(redis, "low")
    assert not queues.pause(redis, "low")
    assert redis.smembers("paused") == {b"low"}
    assert queues.paused(redis) == {"low"}
    assert queues.resume(redis, "low")
    assert not queues.resume(redis, "low")
    assert queues.paused(redis) == frozenset()

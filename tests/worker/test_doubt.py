"""The doubt: raised by what is not known, kept while Redis does not answer, gone when it has told what it holds."""

from __future__ import annotations

import time

import pytest
import redis as redis_py

from pykiq.worker.doubt import AUDIT, Doubt
from pykiq.worker.flight import Flight
from pykiq.worker.line import Line
from tests.store.jobs import berth, raw
from tests.worker.stage import claimed


def doubt(redis: redis_py.Redis, flight: Flight | None = None) -> Doubt:
    return Doubt(berth("default"), Line(redis), flight or Flight())


def test_there_is_none_at_first(redis: redis_py.Redis) -> None:
    made = doubt(redis)
    assert not made.here
    assert not made.lasting


def test_jobs_that_nobody_here_knows_of_are_told_and_the_doubt_is_gone(redis: redis_py.Redis) -> None:
    flight = Flight()
    flight.refuse(claimed(raw(1)))
    redis.lpush(berth("default").inflight("default"), raw(1), raw(2))
    made = doubt(redis, flight)
    made.raised()
    before = time.time()
    found = made.settled()
    assert found is not None
    assert [one.raw for one in found] == [raw(2)]
    assert before <= found[0].claimed_at <= time.time()
    assert not made.here


@pytest.mark.system
def test_it_stays_while_redis_does_not_answer() -> None:
    with redis_py.Redis(port=1) as nobody:
        made = doubt(nobody)
        made.raised()
        assert made.settled() is None
        assert made.here


def test_a_waiter_whose_connection_broke_may_be_served_for_a_while_after_redis_was_asked(redis: redis_py.Redis) -> None:
    made = doubt(redis)
    made.raised_by_waiter()
    assert made.settled() == []
    assert not made.here
    assert made.lasting


def test_a_count_above_what_is_known_raises_it_but_not_before_the_next_audit(redis: redis_py.Redis) -> None:
    redis.lpush(berth("default").inflight("default"), raw(1))
    made = doubt(redis)
    made.audit()
    assert not made.here
    made._audit_at -= AUDIT
    made.audit()
    assert made.here

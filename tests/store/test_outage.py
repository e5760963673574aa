"""One memory of an outage: however many ask, and however often, a line when it begins, one a minute, one at its end."""

from __future__ import annotations

from typing import Any

import pytest
import redis as redis_py
from hypothesis import given
from hypothesis import strategies as st

from pykiq.store.outage import FORGOTTEN, REMIND, Outage
from tests.logs import capture_logs

AWAY = redis_py.ConnectionError("Connection refused")
PARTS = (
    "turn_failed",
    "poll_failed",
    "sweep_failed",
    "lease_not_renewed",
    "heartbeat_failed",
    "standing_orders_failed",
)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outage(clock: Clock) -> Outage:
    return Outage(clock)


def brief(lines: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    return [(line["event"], line.get("away")) for line in lines]


def test_it_is_told_when_it_begins_once_a_minute_and_when_it_is_over(outage: Outage, clock: Clock) -> None:
    with capture_logs() as lines:
        for _ in range(150):
            for part in PARTS:
                outage.failed(part, AWAY)
            clock.now += 1
        for part in PARTS:
            outage.answered(part)
            outage.answered(part)
    assert brief(lines) == [
        ("redis_does_not_answer", None),
        ("redis_does_not_answer", 60.0),
        ("redis_does_not_answer", 120.0),
        ("redis_answers_again", 150.0),
    ]
    assert [line["log_level"] for line in lines] == ["error"] * 3 + ["info"]
    assert lines[0]["error"] == "Connection refused"
    assert lines[-1]["failures"] == 150 * len(PARTS)


def test_it_is_over_when_all_that_ask_are_answered(outage: Outage, clock: Clock) -> None:
    with capture_logs() as lines:
        outage.failed("turn_failed", AWAY)
        outage.failed("poll_failed", AWAY)
        outage.answered("turn_failed")
        outage.failed("poll_failed", AWAY)
        assert len(lines) == 1
        outage.answered("poll_failed")
    assert brief(lines) == [("redis_does_not_answer", None), ("redis_answers_again", 0.0)]


def test_a_part_that_asks_no_more_keeps_nobody_from_saying_that_it_is_over(outage: Outage, clock: Clock) -> None:
    with capture_logs() as lines:
        outage.failed("poll_failed", AWAY)
        outage.failed("turn_failed", AWAY)
        clock.now += FORGOTTEN
        outage.answered("turn_failed")
    assert [line["event"] for line in lines] == ["redis_does_not_answer", "redis_answers_again"]


def test_the_next_one_is_told_anew(outage: Outage) -> None:
    with capture_logs() as lines:
        for _ in range(3):
            outage.failed("turn_failed", AWAY)
            outage.answered("turn_failed")
    assert [line["event"] for line in lines] == ["redis_does_not_answer", "redis_answers_again"] * 3


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ("redis_does_not_answer", AWAY),
        ("redis_does_not_answer", redis_py.TimeoutError()),
        ("redis_does_not_answer", OSError(113, "No route to host")),
        ("redis_does_not_answer", redis_py.BusyLoadingError("Redis is loading the dataset in memory")),
        ("redis_refuses", redis_py.ResponseError("MASTERDOWN Link with MASTER is down")),
        ("redis_refuses", redis_py.ReadOnlyError("You can't write against a read only replica.")),
        ("redis_refuses", redis_py.OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")),
        ("redis_does_not_answer", redis_py.AuthenticationError("invalid password")),
    ],
)
def test_whatever_keeps_redis_from_serving_anybody_is_an_outage(outage: Outage, event: str, error: Exception) -> None:
    with capture_logs() as lines:
        outage.failed("turn_failed", error)
        outage.failed("poll_failed", error)
    assert [line["event"] for line in lines] == [event]
    assert lines[0]["error"]


def test_a_refusal_of_one_part_is_told_under_its_own_name_once_a_minute(outage: Outage, clock: Clock) -> None:
    error = redis_py.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")
    with capture_logs() as lines:
        for _ in range(int(REMIND) + 1):
            outage.failed("poll_failed", error)
            outage.answered("turn_failed")
            clock.now += 1
        outage.answered("poll_failed")
        outage.failed("poll_failed", error)
    assert [(line["event"], line.get("times")) for line in lines] == [
        ("poll_failed", None),
        ("poll_failed", 60),
        ("poll_failed", None),
    ]
    assert all("WRONGTYPE" in line["error"] for line in lines)


@given(st.lists(st.tuples(st.sampled_from(PARTS), st.booleans(), st.floats(0, 20))))
def test_beginnings_and_ends_take_turns_and_reminders_are_a_minute_apart(steps: list[tuple[str, bool, float]]) -> None:
    clock = Clock()
    outage = Outage(clock)
    with capture_logs() as lines:
        for part, fails, passed in steps:
            clock.now += passed
            before = len(lines)
            if fails:
                outage.failed(part, AWAY)
            else:
                outage.answered(part)
            for line in lines[before:]:
                line["at"] = clock.now
        clock.now += FORGOTTEN
        for part in PARTS:
            outage.answered(part)
    away, told = False, 0.0
    for line in lines:
        if line["event"] == "redis_answers_again":
            assert away
            away = False
        else:
            assert not away or line["at"] - told >= REMIND
            away, told = True, line["at"]
    assert not away

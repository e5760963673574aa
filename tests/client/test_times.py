"""When a job shall run: what is no number of seconds is refused in one line."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
import redis as redis_py
from hypothesis import given
from hypothesis import strategies as st

import pykiq
from pykiq import Client, Config
from pykiq.client.times import due, number
from pykiq.errors import PayloadError

NO_NUMBERS = (float("nan"), float("inf"), float("-inf"), 10**400, -(10**400), 10**5000, True, "5", None, [5], 5j)


@pytest.mark.parametrize(
    "value", NO_NUMBERS, ids=lambda value: f"{value!s:.9}" if not isinstance(value, int) else "int"
)
def test_what_is_no_finite_number_is_refused(value: object) -> None:
    with pytest.raises(PayloadError, match=r"^`at` is .*; expected (a finite number of )?seconds"):
        due(value, 1.7e9)


@given(
    st.floats()
    | st.integers()
    | st.timedeltas()
    | st.datetimes(timezones=st.just(UTC))
    | st.integers(min_value=10**290)
)
def test_everything_else_is_finite(value: float | timedelta | datetime) -> None:
    try:
        assert math.isfinite(number(value))
        assert math.isfinite(due(value, 1.7e9) or 0.0)
    except PayloadError:
        assert isinstance(value, float | int)


@pytest.mark.parametrize("moment", [float("nan"), float("inf"), 10**400], ids=["nan", "inf", "huge"])
def test_no_verb_pushes_a_job_for_no_moment(redis: redis_py.Redis, redis_url: str, moment: float) -> None:
    client = Client(Config.of(redis=redis_url), redis=redis)
    with pytest.raises(PayloadError, match="finite number of seconds"):
        client.push({"class": "A", "args": [], "at": moment})
    for item in ({"at": moment}, {"at": [moment]}, {"spread_interval": moment}):
        with pytest.raises(PayloadError, match="finite number of seconds"):
            client.push_bulk({"class": "A", "args": [[1]], **item})
    with pytest.raises(PayloadError, match="finite number of seconds"):
        pykiq.remote("A").set(expires_in=moment)
    assert redis.keys("*") == []


@pytest.mark.parametrize("seconds", [10**400, -(10**400), 10**5000], ids=["huge", "negative", "unprintable"])
def test_a_snooze_of_no_length_is_a_type_error(seconds: int) -> None:
    with pytest.raises(TypeError, match="expected seconds"):
        pykiq.Snooze(seconds)

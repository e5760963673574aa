"""Until when a job may start: what is written at the push, and what is made of it and of what others have written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykiq.wire.expiry import expired, stamp

NOW = 1_795_315_631.5
ODD: list[Any] = [None, "60", True, [], {}, float("nan"), float("inf"), 10**400]


@pytest.mark.parametrize(
    ("job", "expiry"),
    [
        ({"expires_in": 60}, NOW + 60),
        ({"expires_in": 0.5}, NOW + 0.5),
        ({"expires_in": 60, "expiry": None}, NOW + 60),
        ({"expires_in": 60, "expiry": 5.5}, 5.5),
        ({"expiry": 5.5}, 5.5),
        ({}, None),
        *[({"expires_in": odd}, None) for odd in ODD],
    ],
)
def test_a_job_that_is_pushed_gets_an_expiry_beside_its_expires_in(job: dict[str, Any], expiry: float | None) -> None:
    stamp(job, NOW)
    assert job.get("expiry") == expiry
    assert expiry is None or type(job["expiry"]) is float


def test_a_moment_in_whole_seconds_becomes_a_float() -> None:
    job = {"expires_in": 60}
    stamp(job, 1_795_315_631)
    assert repr(job["expiry"]) == "1795315691.0"


@pytest.mark.parametrize(
    ("job", "late"),
    [
        ({}, None),
        ({"expiry": NOW - 2.5}, 2.5),
        ({"expiry": int(NOW) - 2}, 2.5),
        ({"expiry": NOW}, None),
        ({"expiry": NOW + 1}, None),
        ({"expiry": NOW + 1, "expires_in": 1, "created_at": 5.5, "enqueued_at": 5.5}, None),
        ({"expiry": NOW - 1, "expires_in": 60, "created_at": NOW}, 1.0),
        ({"expires_in": 60}, None),
        ({"expires_in": 60, "created_at": NOW - 62}, 2.0),
        ({"expires_in": 60, "created_at": int((NOW - 62) * 1000)}, 2.0),
        ({"expires_in": 60, "created_at": NOW - 58}, None),
        # Ruby without Pro: scheduled for later, moved to its queue by a poller.
        ({"expires_in": 60, "created_at": NOW - 3600, "enqueued_at": NOW - 58}, None),
        ({"expires_in": 60, "created_at": NOW - 3600, "enqueued_at": NOW - 62}, 2.0),
        # A retry of it: it was due before it failed.
        ({"expires_in": 60, "created_at": NOW - 3600, "enqueued_at": NOW, "failed_at": NOW - 62}, 2.0),
        ({"expires_in": 60, "created_at": NOW - 3600, "enqueued_at": NOW, "failed_at": NOW - 58}, None),
        ({"expires_in": 10**299, "created_at": 1.5}, None),
        *[({"expiry": odd}, None) for odd in ODD],
        *[({"expires_in": odd, "created_at": 1.5}, None) for odd in ODD],
        *[({"expires_in": 60, "created_at": odd}, None) for odd in ODD],
        *[({"expiry": odd, "expires_in": 60, "created_at": NOW - 62}, 2.0) for odd in ODD],
        *[({"expires_in": 60, "failed_at": odd, "enqueued_at": odd, "created_at": NOW - 62}, 2.0) for odd in ODD],
    ],
)
def test_a_job_has_expired_for_so_long(job: dict[str, Any], late: float | None) -> None:
    found = expired(job, NOW)
    assert found == (late if late is None else pytest.approx(late, abs=1e-3))


@given(due=st.floats(0, 4e9), limit=st.floats(0.01, 1e9), waited=st.floats(0, 2e9))
def test_what_is_pushed_may_start_for_as_long_as_it_says_after_it_is_due(
    due: float, limit: float, waited: float
) -> None:
    job = {"expires_in": limit}
    stamp(job, due)
    late = expired(job, due + waited)
    if abs(waited - limit) > 1e-3:
        assert (late is not None) is (waited > limit)


@given(
    st.dictionaries(
        st.sampled_from(["expiry", "expires_in", "created_at", "enqueued_at", "failed_at"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()),
    )
)
def test_whatever_a_payload_holds_there_is_an_answer(job: dict[str, Any]) -> None:
    stamp(job, NOW)
    late = expired(job, NOW)
    assert late is None or late > 0

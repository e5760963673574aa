"""Ruby's times: nanoseconds, `Z` and `+00:00`, and zones come back as they were."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykiq.wire.ajtimes import DateTime, Time, TimeWithZone, read, read_with_zone, spell, zone_of

TEXTS = [
    "2030-01-02T03:04:05.123456789Z",
    "2030-01-02T03:04:05.000000001+00:00",
    "0001-01-01T00:00:00.000000000-11:30",
    "9999-12-31T23:59:59.999999999+14:00",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_time_is_spelled_as_it_was_read(text: str) -> None:
    assert spell(read(text, Time)) == text


def test_a_date_time_is_never_spelled_with_a_z() -> None:
    assert spell(DateTime(2030, 1, 2, tzinfo=UTC)) == "2030-01-02T00:00:00.000000000+00:00"


@given(
    st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2036, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.sampled_from(
        ["Europe/Paris", "America/New_York", "Asia/Kolkata", "Europe/London", "Etc/UTC", "Australia/Lord_Howe"]
    ),
    st.integers(0, 999),
)  # fmt: skip
def test_every_moment_in_a_zone_is_spelled_as_it_was_read_also_in_the_hour_that_comes_twice(
    moment: datetime, zone: str, nanosecond: int
) -> None:
    local = TimeWithZone.of(moment.astimezone(ZoneInfo(zone)))
    local.nanosecond = nanosecond
    again = read_with_zone(spell(local), zone)
    assert (spell(again), zone_of(again), again) == (spell(local), zone, moment)


def test_a_moment_that_no_clock_of_its_zone_can_show_is_refused() -> None:
    with pytest.raises(OverflowError):
        read_with_zone("0001-01-01T00:00:00.000000000Z", "America/New_York")


def test_arithmetic_gives_the_same_kind_of_time() -> None:
    later = Time(2030, 1, 2, tzinfo=UTC, nanosecond=5) + timedelta(days=1)
    assert (type(later), later) == (Time, datetime(2030, 1, 3, tzinfo=UTC))


def test_times_can_be_pickled() -> None:
    moment = TimeWithZone(2030, 1, 2, tzinfo=ZoneInfo("Europe/Paris"), nanosecond=5)
    again = pickle.loads(pickle.dumps(moment))
    assert (again, again.zone, type(again)) == (moment, "Europe/Paris", TimeWithZone)


@pytest.mark.parametrize(
    ("text", "zone", "hours"),
    [
        ("2050-07-01T12:00:00.000000000+01:00", "Europe/Paris", 1),  # Ruby's tz database ends before
        (
            "1890-07-01T12:00:00.000000000+00:09",
            "Europe/Paris",
            0.15,
        ),  # an offset with seconds, of which Ruby writes none
        ("2030-07-01T10:00:00.000000000Z", "Europe/Paris", 2),  # not Rails' own spelling: read as Rails reads it
        ("2030-07-01T12:00:00.000000000+02:00", "Europe/Paris", 2),
    ],
)
def test_where_the_clocks_of_a_zone_are_set_otherwise_the_offset_that_came_is_kept(
    text: str, zone: str, hours: float
) -> None:
    moment = read_with_zone(text, zone)
    assert (moment.utcoffset(), moment.zone) == (timedelta(hours=hours), zone)
    assert moment == read(text, Time)
    assert spell(moment) == text or text.endswith("Z")

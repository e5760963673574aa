"""Which dialect a job is written in, and what a timestamp of any dialect means."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykiq.wire.dialect import EIGHT, SEVEN, SIX, Dialect, beside_rails, for_fleet, for_payload, is_number, seconds
from pykiq.wire.exactjson import loads
from tests import captures

NOW = 1795315631.7103534


def test_seven_and_six_stamp_float_seconds_and_eight_integer_milliseconds() -> None:
    assert [repr(dialect.stamp(NOW)) for dialect in (SIX, SEVEN, EIGHT)] == [repr(NOW), repr(NOW), "1795315631710"]


def test_whole_seconds_are_still_written_with_a_fraction() -> None:
    assert repr(SEVEN.stamp(1795315631)) == "1795315631.0"


@pytest.mark.parametrize("dialect", [SIX, SEVEN, EIGHT], ids=lambda dialect: dialect.name)
@given(now=st.floats(min_value=1e9, max_value=4e9))
def test_a_stamp_reads_back_as_the_same_second(dialect: Dialect, now: float) -> None:
    read = seconds(dialect.stamp(now))
    assert read is not None
    assert abs(read - now) < 0.0011


@pytest.mark.parametrize("version", captures.VERSIONS)
def test_rubys_own_stamps_mean_the_time_at_which_it_sent_them(version: str) -> None:
    capture = captures.read(version, "perform_async")
    [push] = [command for command in capture.commands if command.verb == "lpush"]
    stamp = seconds(loads(push.words[1])["enqueued_at"])
    assert stamp is not None
    assert abs(stamp - push.time) < 1


@pytest.mark.parametrize(
    "value", [None, True, "1795315631", [], {}, float("nan"), float("inf"), loads(b"1e400"), 10**400]
)
def test_what_is_no_time_is_none(value: Any) -> None:
    assert seconds(value) is None


def test_a_number_is_finite_and_no_boolean() -> None:
    assert [is_number(value) for value in (0, -1.5, True, "1", None, float("inf"))] == [True, True, *[False] * 4]


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([], SEVEN),
        (["8.1.7"], EIGHT),
        (["8.1.7", "7.3.2"], SEVEN),
        (["8.1.7", None, "7.3.2"], SIX),
        (["pykiq-0.1.0", "8.0.0"], EIGHT),
        (["pykiq-0.1.0"], SEVEN),
        (["6.5.12"], SIX),
        (["5.2.10"], SIX),
        (["9.0.0", "10.1"], EIGHT),
        (["unknown", ""], SEVEN),
    ],
)
def test_the_fleet_speaks_its_oldest_rubys_dialect(versions: list[str | None], expected: Dialect) -> None:
    assert for_fleet(versions) is expected


@pytest.mark.parametrize(
    ("created_at", "fleet", "expected"),
    [
        (1795315631710, SEVEN, EIGHT),
        (1795315631710, SIX, EIGHT),
        (NOW, EIGHT, SEVEN),
        (NOW, SEVEN, SEVEN),
        (NOW, SIX, SIX),
        (None, EIGHT, EIGHT),
        ("soon", SIX, SIX),
        (True, SEVEN, SEVEN),
    ],
)
def test_auto_mirrors_the_jobs_own_created_at(created_at: Any, fleet: Dialect, expected: Dialect) -> None:
    assert for_payload({"created_at": created_at}, fleet) is expected
    assert for_payload({"created_at": created_at}, fleet, "auto") is expected


def test_without_created_at_it_is_the_fleets() -> None:
    assert for_payload({}, SIX) is SIX


def test_a_setting_wins_over_the_job() -> None:
    assert [for_payload({"created_at": NOW}, SIX, setting) for setting in "678"] == [SIX, SEVEN, EIGHT]


@pytest.mark.parametrize("version", captures.VERSIONS)
def test_every_dated_job_of_a_version_is_answered_in_its_own_dialect(version: str) -> None:
    mine = {"6.4.1": SIX, "7.3.2": SEVEN, "8.1.7": EIGHT}[version]
    for name in ("perform_async", "perform_in", "perform_bulk", "retry_first_failure"):
        for raw in captures.read(version, name).payloads():
            assert for_payload(loads(raw), mine) is mine


@pytest.mark.parametrize("version", captures.VERSIONS)
def test_work_is_kept_under_the_key_that_this_version_reads(version: str) -> None:
    mine = {"6.4.1": SIX, "7.3.2": SEVEN, "8.1.7": EIGHT}[version]
    keys = captures.read(version, "heartbeat_busy").data["redis"]
    assert [key for key in keys if key.endswith(f":{mine.work_suffix}")]


@pytest.mark.parametrize("dialect", [SIX, SEVEN, EIGHT])
def test_another_rails_changes_nothing_else(dialect: Dialect) -> None:
    own = "6.1" if dialect is SIX else "7.2"
    assert beside_rails(dialect, "auto") is beside_rails(dialect, own) is dialect
    other = beside_rails(dialect, {"6.1": "7.2", "7.2": "6.1"}[own])
    assert other.rails != own
    assert replace(other, rails=dialect.rails) == dialect

"""The keys and counters of Ruby's Metrics page, as the captures `metrics` of 7.3.2 and 8.1.7 have them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pykiq.wire import metrics


def at(*moment: int) -> float:
    return datetime(*moment, tzinfo=UTC).timestamp()


def test_7_3_pads_neither_hour_nor_minute_of_its_counters() -> None:
    assert metrics.counters(7, at(2026, 11, 22, 2, 5, 59)) == [("j|20261122|2:5", 28800)]


def test_8_1_pads_the_minute_and_counts_ten_minutes_too() -> None:
    assert metrics.counters(8, at(2026, 11, 22, 2, 5)) == [("j|261122|2:05", 28800), ("j|261122|2:0", 259200)]
    assert metrics.counters(8, at(2026, 11, 22, 2, 57)) == [("j|261122|2:57", 28800), ("j|261122|2:5", 259200)]


def test_histograms_are_padded_in_7_3_but_for_the_minute_and_nowhere_in_8_1() -> None:
    moment = at(2026, 11, 2, 2, 7)
    assert metrics.histogram(7, "Ns::Job", moment) == "Ns::Job-02-02:7"
    assert metrics.histogram(8, "Ns::Job", moment) == "h|Ns::Job-2-2:7"


@pytest.mark.parametrize(
    ("milliseconds", "index"),
    [(0, 0), (19.9, 0), (20, 1), (22, 1), (50, 3), (200, 6), (1200, 11), (334_999, 24), (335_000, 25), (1e9, 25)],
)
def test_a_duration_belongs_to_the_first_counter_whose_bound_is_above_it(milliseconds: float, index: int) -> None:
    assert metrics.buckets([milliseconds]) == [index]


def test_a_mark_is_a_field_of_its_day() -> None:
    assert metrics.marks(at(2026, 11, 22, 2, 42, 39)) == ("20261122-marks", "2026-11-22T02:42:00Z")
    assert metrics.mark_lock("abc123 ship it") == "deploylock-abc123 ship it"

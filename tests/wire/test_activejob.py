"""ActiveJob's envelope; what Rails itself wrote is in test_captures.py."""

from __future__ import annotations

from pykiq.wire.activejob import stamp


def test_the_stamps_of_job_data_have_nine_digits_since_rails_7() -> None:
    assert stamp(1_795_316_456.5, whole=False) == "2026-11-22T03:00:56.500000000Z"
    assert stamp(1_795_316_456.5, whole=True) == "2026-11-22T03:00:56Z"

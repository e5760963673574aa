"""Deploy marks, as the capture `deploy_mark` has them."""

from __future__ import annotations

from datetime import UTC, datetime

import redis as redis_py

from pykiq.store.marks import mark

NOW = datetime(2026, 11, 22, 2, 42, 39, tzinfo=UTC).timestamp()


def test_a_mark_is_written_once_per_label_and_minute(redis: redis_py.Redis) -> None:
    assert mark(redis, "abc123 ship it", NOW)
    assert not mark(redis, "abc123 ship it", NOW + 5)
    assert redis.hgetall("20261122-marks") == {b"2026-11-22T02:42:00Z": b"abc123 ship it"}
    assert redis.get("deploylock-abc123 ship it") == b"2026-11-22T02:42:00Z"
    assert 7_775_990 < redis.ttl("20261122-marks") <= 7_776_000
    assert 55 < redis.ttl("deploylock-abc123 ship it") <= 60


def test_of_two_labels_in_a_minute_the_first_one_stays(redis: redis_py.Redis) -> None:
    assert mark(redis, "one", NOW)
    assert not mark(redis, "two", NOW)
    assert redis.hvals("20261122-marks") == [b"one"]

"""Which classes wait without a handler: a look at both ends of each queue."""

from __future__ import annotations

import pytest
import redis as redis_py

from pykiq.store import waiting


def test_a_long_queue_is_looked_at_from_both_ends_only(redis: redis_py.Redis) -> None:
    redis.rpush("queue:a", b'{"class":"Newest"}', *[b'{"class":"Middle"}'] * 1000, b'{"class":"Oldest"}')
    (found,) = waiting.without_handler(redis, ["a"], lambda name: False)
    assert found.classes == {"Middle": 2 * waiting.LOOKED_AT - 2, "Newest": 1, "Oldest": 1}


def test_huge_entries_end_the_look_early(redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_BUDGET", 10)
    redis.rpush("queue:a", *[b'{"class":"A"}'] * 300)
    (found,) = waiting.without_handler(redis, ["a"], lambda name: False)
    assert found.classes == {"A": 50}

"""The walk through a sorted set: every entry once, whatever happens to the set meanwhile."""

from __future__ import annotations

import pytest
import redis as redis_py

from pykiq.store import sets
from pykiq.store.portions import fitting
from pykiq.wire import keys
from pykiq.wire.glob import Glob
from tests.store.jobs import CONFIG, NOW, raw


def members(redis: redis_py.Redis, *, up: bool = False, page: int = 3) -> list[bytes]:
    return [entry.member for found in sets.pages(redis, "retry", up=up, page=page) for entry in found]


def test_the_walk_goes_from_the_highest_score_down_or_from_the_lowest_up(redis: redis_py.Redis) -> None:
    redis.zadd("retry", {f"m{n}": n * 1.5 for n in range(10)})
    assert members(redis) == [b"m%d" % n for n in reversed(range(10))]
    assert members(redis, up=True) == [b"m%d" % n for n in range(10)]
    assert next(sets.pages(redis, "retry", page=1)) == [sets.Entry(b"m9", 13.5)]


@pytest.mark.parametrize("up", [False, True], ids=["down", "up"])
def test_entries_of_one_score_come_in_the_order_of_their_bytes(redis: redis_py.Redis, up: bool) -> None:
    odd = [b"", b"\x00", b"a", b"a\x00", b"a\x00b", b"aa", b"b", b"\x7f", b"\x80", b"\xff\x00"]
    redis.zadd("retry", dict.fromkeys(odd, 1_795_315_411.1290071))
    redis.zadd("retry", {"before": 1, "after": 2e9})
    expected = [b"before", *sorted(odd), b"after"]
    assert members(redis, up=up, page=2) == (expected if up else expected[::-1])


@pytest.mark.parametrize("up", [False, True], ids=["down", "up"])
@pytest.mark.parametrize("score", [7.0, None], ids=["one score", "many scores"])
def test_a_walk_that_removes_what_it_sees_misses_nothing(redis: redis_py.Redis, up: bool, score: float | None) -> None:
    redis.zadd("retry", {f"m{n:02}": score or n for n in range(40)})
    seen = []
    for page in sets.pages(redis, "retry", up=up, page=7):
        seen += [entry.member for entry in page]
        redis.zrem("retry", *[entry.member for entry in page[1:]])
    assert sorted(seen) == [b"m%02d" % n for n in range(40)]
    assert redis.zcard("retry") == 6


@pytest.mark.parametrize("up", [False, True], ids=["down", "up"])
def test_entries_added_and_taken_on_both_sides_change_nothing_for_the_others(redis: redis_py.Redis, up: bool) -> None:
    redis.zadd("retry", {f"m{n:02}": 100 + n for n in range(40)})
    seen = []
    for turn, page in enumerate(sets.pages(redis, "retry", up=up, page=4)):
        seen += [entry.member for entry in page]
        redis.zadd("retry", {f"low{turn}{n}": n for n in range(5)} | {f"high{turn}{n}": 900 + n for n in range(5)})
        redis.zpopmin("retry", 6)
    assert len(seen) == len(set(seen))
    assert {member for member in seen if member.startswith(b"m")} >= {b"m%02d" % n for n in range(30, 40)}


def test_a_look_by_pattern_is_done_by_the_server(redis: redis_py.Redis) -> None:
    redis.zadd("retry", {raw(n): n for n in range(2000)})
    assert list(sets.scan(redis, "retry", f"*{1234:024x}*")) == [sets.Entry(raw(1234), 1234.0)]


def test_entries_of_a_time_are_found_by_their_score(redis: redis_py.Redis) -> None:
    redis.zadd("retry", {"a": 1.25, "b": 1.25, "c": 1.26})
    assert [entry.member for entry in sets.with_score(redis, "retry", 1.25, 1.25)] == [b"a", b"b"]


def test_what_is_buried_trims_the_dead_set_by_age_and_number(redis: redis_py.Redis) -> None:
    redis.zadd("dead", {"old": NOW - CONFIG.dead_timeout, "new": NOW - 1})
    sets.bury(redis, b"not json", NOW, CONFIG)
    assert redis.zrange("dead", 0, -1, withscores=True) == [(b"new", NOW - 1), (b"not json", NOW)]
    sets.trim_dead(redis, NOW, type(CONFIG).of(dead_max_jobs=2))
    assert redis.zrange("dead", 0, -1) == [b"not json"]  # as Ruby's, one fewer than said (WIRE.md §8c)


@pytest.mark.parametrize(
    ("pattern", "sent"),
    [
        ("*a*bcd*e*", "*bcd*"),
        ("*", "*"),
        ("a?c", "*a*"),
        ("*[ab]*?*", "*"),
        ("*x\\*y*z*", "*x\\*y*"),
        ("caf\udce9", None),
    ],
)
def test_redis_is_sent_two_stars_at_most(redis: redis_py.Redis, pattern: str, sent: str | None) -> None:
    """`a*b*c*…` holds an older one up for hours."""
    asked = []
    execute = redis.execute_command
    redis.execute_command = lambda *words, **options: asked.append(words) or execute(*words, **options)  # type: ignore
    members = {b"1abcde2", b"abc", b"x*y1z", b"caf\xe9"}
    redis.zadd("retry", dict.fromkeys(members, 1.0))
    found = {entry.member for entry in sets.scan(redis, "retry", pattern)}
    assert found == {one for one in members if Glob(keys.raw(pattern)).matches(one)}
    (words,) = [words for words in asked if words[0] == "ZSCAN"]
    assert words[words.index(b"MATCH") + 1] == (b"*caf\xe9*" if sent is None else sent.encode())


def test_large_entries_are_read_a_few_at_a_time(redis: redis_py.Redis) -> None:
    """A page of 500 of 100 kB would hold Redis up for a tenth of a second."""
    redis.zadd("retry", {b"%d" % n + b"x" * 100_000: n for n in range(30)})
    pages = [len(page) for page in sets.pages(redis, "retry")]
    assert sum(pages) == 30
    assert max(pages[1:]) <= 3
    assert fitting(redis, "retry", 30, 500) <= 3
    redis.zadd("dead", {b"%d" % n + b"x" * 200: n for n in range(3000)})
    pages = [len(page) for page in sets.pages(redis, "dead")]
    assert (pages[0], max(pages[1:])) == (20, 500)
    assert 400 < fitting(redis, "dead", 3000, 500) <= 500

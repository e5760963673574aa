"""Who is gone, by looks at the leases: never a process that lives, whatever Redis and its clock do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import redis as redis_py

from pykiq.store import leases
from pykiq.store.leases import Doubtful, Leases
from tests.commands import taken
from tests.store.jobs import berth

GONE = berth("a", "b", identity="gone:1:aaaaaaaaaaaa")
LIVES = berth("a", identity="lives:2:bbbbbbbbbbbb")
ME = berth("a", identity="me:3:cccccccccccc", ttl=2.0)


@pytest.fixture(autouse=True)
def _soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "AGAIN", 0.01)


@pytest.fixture
def seen(redis: redis_py.Redis) -> Leases:
    """Three processes, one of which has died, and what the third one saw when all were alive."""
    for one in (GONE, LIVES, ME):
        one.renew(redis)
    made = Leases(ME)
    assert made.lapsed(redis) == {}
    redis.delete(GONE.lease)
    return made


def test_who_has_no_lease_is_gone(redis: redis_py.Redis, seen: Leases) -> None:
    assert seen.lapsed(redis) == {GONE.identity: ["a", "b"]}


@pytest.mark.parametrize(("count", "commands"), [(1, 3), (400, 3), (1200, 5)])
def test_as_long_as_all_live_a_look_takes_a_command_for_hundreds_of_them(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch, count: int, commands: int
) -> None:
    fleet = [f"host:{number}:dddddddddddd" for number in range(count)]
    redis.hset("pykiq:owners", mapping=dict.fromkeys(fleet, '["a"]'))
    redis.mset({f"pykiq:lease:{identity}": identity for identity in fleet})
    looks = Leases(ME)
    assert taken(redis, lambda: looks.lapsed(redis)) == commands  # HKEYS, EXISTS, TIME
    gone = fleet[:: 1 + count // 3]
    redis.delete(*(f"pykiq:lease:{identity}" for identity in gone))
    assert set(looks.lapsed(redis)) == set(gone)


def test_this_process_never_is(redis: redis_py.Redis, seen: Leases) -> None:
    redis.delete(ME.lease)
    assert seen.lapsed(redis) == {GONE.identity: ["a", "b"]}


def test_what_no_process_has_written_keeps_nobody_from_being_seen(redis: redis_py.Redis, seen: Leases) -> None:
    for value in (b"not json", b"{}", b"[1]", b"[" * 100_000):
        redis.hset("pykiq:owners", b"odd" + value[:3], value)
    redis.hset("pykiq:owners", b"\xff", b"[]")
    assert set(seen.lapsed(redis)) == {GONE.identity}


def test_who_renews_a_moment_later_is_not(redis: redis_py.Redis, seen: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis answered nobody for longer than a lease lasts, and the first that it hears is the sweep."""
    redis.delete(LIVES.lease)
    monkeypatch.setattr(time, "sleep", lambda seconds: LIVES.renew(redis))
    assert set(seen.lapsed(redis)) == {GONE.identity}


def ahead(by: float, when: Callable[[], bool] = lambda: True) -> Callable[[Any], Any]:
    """The pipeline's TIME, of a server whose clock has been put forward by so many seconds."""
    execute = redis_py.client.Pipeline.execute

    def stepped(pipeline: Any, raise_on_error: bool = True) -> Any:
        answers = execute(pipeline, raise_on_error)
        seconds, microseconds = answers[-1]
        return [*answers[:-1], (seconds + by, microseconds) if when() else (seconds, microseconds)]

    return stepped


@pytest.mark.parametrize("by", [600, 1, -600])
def test_nobody_is_when_redis_clock_was_put_and_the_next_look_is_believed(
    redis: redis_py.Redis, seen: Leases, monkeypatch: pytest.MonkeyPatch, by: int
) -> None:
    monkeypatch.setattr(redis_py.client.Pipeline, "execute", ahead(by))
    with pytest.raises(Doubtful, match="clock was put"):
        seen.lapsed(redis)
    assert set(seen.lapsed(redis)) == {GONE.identity}


def test_who_has_only_noticed_the_clock_until_now_knows_when_it_was_put(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    GONE.renew(redis)
    waits = Leases(ME)
    waits.notice(redis)
    waits.notice(redis)
    redis.delete(GONE.lease)
    with monkeypatch.context() as put:
        put.setattr(redis_py.client.Pipeline, "execute", ahead(600))
        with pytest.raises(Doubtful, match="clock was put"):
            waits.lapsed(redis)
    with pytest.raises(Doubtful, match="clock was put"):
        waits.notice(redis)  # back again
    assert set(waits.lapsed(redis)) == {GONE.identity}


def test_when_the_clock_was_put_back_the_leases_that_were_there_last_no_longer_than_they_would_have(
    redis: redis_py.Redis, seen: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the dead among them; one that was renewed since is as it should be."""
    redis.set(GONE.lease, GONE.identity, px=607_000)
    almost = berth("a", identity="almost:1:aaaaaaaaaaaa")  # it had hardly any time left, and that was a while ago
    almost.renew(redis)
    seen._checked_at -= 20
    redis.pexpire(almost.lease, 581_000)
    LIVES.renew(redis)
    monkeypatch.setattr(redis_py.client.Pipeline, "execute", ahead(-600))
    with pytest.raises(Doubtful, match="clock was put"):
        seen.lapsed(redis)
    assert 0 < redis.pttl(GONE.lease) <= 7_100
    assert redis.pttl(almost.lease) < 1_000
    assert 7_000 < redis.pttl(LIVES.lease) <= 12_000


def test_a_step_back_that_is_no_longer_than_a_lease_shortens_none(
    redis: redis_py.Redis, seen: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that were renewed since cannot be told from the others."""
    LIVES.renew(redis)
    monkeypatch.setattr(redis_py.client.Pipeline, "execute", ahead(-3))
    with pytest.raises(Doubtful, match="clock was put"):
        seen.lapsed(redis)
    assert redis.pttl(LIVES.lease) > 10_000


def test_nobody_is_when_the_clock_is_put_between_the_two_looks(
    redis: redis_py.Redis, seen: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    monkeypatch.setattr(redis_py.client.Pipeline, "execute", ahead(600, lambda: len(looks) > 0))
    monkeypatch.setattr(time, "sleep", lambda seconds: looks.append(1))
    with pytest.raises(Doubtful, match="clock was put"):
        seen.lapsed(redis)


def test_a_clock_that_goes_a_little_faster_is_no_step(
    redis: redis_py.Redis, seen: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_py.client.Pipeline, "execute", ahead(0.4))
    assert set(seen.lapsed(redis)) == {GONE.identity}


def test_nobody_is_when_redis_takes_long_to_answer(
    redis: redis_py.Redis, seen: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = redis_py.client.Pipeline.execute

    def late(pipeline: Any, raise_on_error: bool = True) -> Any:
        answers = execute(pipeline, raise_on_error)
        time.sleep(ME.lease_ttl * leases.SLOW + 0.05)
        return answers

    with monkeypatch.context() as slow:
        slow.setattr(redis_py.client.Pipeline, "execute", late)
        with pytest.raises(Doubtful, match=r"took \d+\.\d s to answer"):
            seen.lapsed(redis)
    assert set(seen.lapsed(redis)) == {GONE.identity}, "a late answer says nothing of the clock"


def test_where_the_clock_may_not_be_asked_the_leases_are_believed(redis: redis_py.Redis, seen: Leases) -> None:
    redis.execute_command("ACL", "SETUSER", "narrow", "reset", "on", ">secret", "~*", "+@all", "-time")
    kwargs = redis.connection_pool.connection_kwargs
    with redis_py.Redis(port=kwargs["port"], username="narrow", password="secret", protocol=2) as user:
        seen.notice(user)
        assert set(seen.lapsed(user)) == {GONE.identity}
    redis.execute_command("ACL", "DELUSER", "narrow")

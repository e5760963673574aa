"""Who of a fleet does what one does for all."""

from __future__ import annotations

from itertools import pairwise

import pytest
import redis as redis_py

from pykiq.store.leadership import CLOSE_SECONDS, Leadership, pause
from tests.commands import taken
from tests.servers import Server
from tests.store.jobs import berth

KEY = "pykiq:poller"


def duty(number: int, life: float = 3.0) -> Leadership:
    return Leadership(berth(identity=f"host:{number}:aaaaaaaaaaaa"), KEY, life)


def test_the_first_has_it_until_its_time_is_over(redis: redis_py.Redis) -> None:
    first, second = duty(1), duty(2)
    assert first.left(redis) == second.left(redis) == 0.0
    assert first.take(redis)
    assert not second.take(redis)
    assert (first.held, second.held) == (True, False)
    assert 2.5 < second.left(redis) <= 3.0
    redis.delete(KEY)  # its time is over
    assert second.take(redis)
    assert not first.take(redis)
    assert (first.held, second.held) == (False, True)


def test_who_takes_it_again_has_it_for_longer(redis: redis_py.Redis) -> None:
    first = duty(1)
    assert first.take(redis)
    redis.pexpire(KEY, 50)
    assert first.take(redis)
    assert redis.pttl(KEY) > 2500


def test_to_keep_it_takes_no_command_until_a_third_of_its_time_is_over(redis: redis_py.Redis) -> None:
    first = duty(1)
    assert first.keep(redis)
    assert taken(redis, lambda: first.keep(redis)) == 0
    first._taken_at -= 1.1
    assert taken(redis, lambda: first.keep(redis)) == 4
    assert first.held


def test_who_gives_it_up_leaves_it_to_the_next_and_takes_it_from_nobody(redis: redis_py.Redis) -> None:
    first, second = duty(1), duty(2)
    first.take(redis)
    first.resign(redis)
    assert not first.held
    assert second.take(redis)
    first.held = True  # as it believed, while it was frozen
    first.resign(redis)
    assert redis.get(KEY) == b"host:2:aaaaaaaaaaaa"


def test_who_has_it_not_takes_one_command_to_see_so(redis: redis_py.Redis) -> None:
    duty(1).take(redis)
    assert taken(redis, lambda: duty(2).left(redis)) == 1


@pytest.mark.parametrize("odd", ["a list", "text for ever"])
def test_an_odd_key_in_its_place_keeps_nobody_from_it(redis: redis_py.Redis, odd: str) -> None:
    redis.lpush(KEY, "x") if odd == "a list" else redis.set(KEY, "somebody")
    first = duty(1)
    assert first.left(redis) == 0.0
    assert first.take(redis)
    assert redis.get(KEY) == b"host:1:aaaaaaaaaaaa"


def test_one_that_lasts_too_long_since_the_clock_was_put_back_can_be_taken(redis: redis_py.Redis) -> None:
    first, second = duty(1), duty(2)
    assert first.take(redis)
    redis.pexpire(KEY, 602_000)
    assert second.left(redis) == 0.0
    assert second.take(redis)
    assert 2500 < redis.pttl(KEY) <= 3000


def test_a_server_that_is_full_lets_a_process_that_lives_take_it(victim: Server, store: redis_py.Redis) -> None:
    place = berth(identity="host:1:aaaaaaaaaaaa")
    place.renew(store)
    store.config_set("maxmemory", 1)
    assert Leadership(place, KEY, 3.0).take(store)


def test_a_user_who_may_not_ask_how_long_it_is_taken_does_it_himself(redis: redis_py.Redis, server: Server) -> None:
    duty(1).take(redis)
    redis.execute_command("ACL", "SETUSER", "narrow", "reset", "on", ">secret", "~*", "+@all", "-pttl")
    with redis_py.Redis(port=server.port, username="narrow", password="secret", protocol=2) as user:
        second = duty(2)
        assert second.left(user) == 0.0
        assert second.take(user)
    redis.execute_command("ACL", "DELUSER", "narrow")


def test_a_pause_ends_before_the_time_is_over_until_that_is_close() -> None:
    assert all(1.5 <= pause(3.0) <= 3.0 for _ in range(100))
    assert all(CLOSE_SECONDS / 2 < pause(CLOSE_SECONDS / 2) <= CLOSE_SECONDS / 2 + 0.05 for _ in range(100))
    left = [3.0]
    while left[-1] > 0:
        left.append(left[-1] - pause(left[-1]))
    assert all(after < before for before, after in pairwise(left))
    assert left[-1] >= -0.05, "and so nobody comes later than that"

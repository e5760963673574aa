from __future__ import annotations

import redis as redis_py

from pykiq.observe.ghosts import clear_ghosts


def test_a_listed_process_without_info_is_taken_out(redis: redis_py.Redis) -> None:
    redis.sadd("processes", "ghost:1:ab", "half:2:cd", "alive:3:ef")
    redis.hset("half:2:cd", "beat", "1.5")
    redis.hset("alive:3:ef", "info", "{}")
    assert clear_ghosts(redis) == ["ghost:1:ab", "half:2:cd"]
    assert redis.smembers("processes") == {b"alive:3:ef"}


def test_only_one_process_a_minute_does_it(redis: redis_py.Redis) -> None:
    assert clear_ghosts(redis) == []
    assert redis.get("process_cleanup") == b"1"
    assert redis.ttl("process_cleanup") == 60
    redis.sadd("processes", "ghost:1:ab")
    assert clear_ghosts(redis) == []
    assert redis.scard("processes") == 1
    redis.delete("process_cleanup")
    assert clear_ghosts(redis) == ["ghost:1:ab"]


def test_a_name_that_is_another_kind_of_key_is_left_alone(redis: redis_py.Redis) -> None:
    redis.sadd("processes", "odd")
    redis.set("odd", "a string")
    assert clear_ghosts(redis) == []
    assert redis.smembers("processes") == {b"odd"}

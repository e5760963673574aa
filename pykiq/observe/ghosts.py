"""Processes that are listed but gone: their hash has expired, their name stays until somebody takes it out."""

from __future__ import annotations

from typing import Any

import redis as redis_py

from pykiq.wire import keys


def clear_ghosts(redis: redis_py.Redis) -> list[str]:
    """Take the members of `processes` whose hash has no `info` out of it; the names taken (WIRE.md §9).

    Guarded by `process_cleanup` as in Ruby, so that of a whole fleet one process does it once a minute: the others get
    an empty list. A process that was merely away adds itself again with its next beat. Raises redis.RedisError.
    """
    if not redis.set(keys.PROCESS_CLEANUP, "1", nx=True, ex=keys.PROCESS_CLEANUP_TTL):
        return []
    members: list[Any] = sorted(redis.sscan_iter(keys.PROCESSES, count=100))
    with redis.pipeline(transaction=False) as pipeline:
        for member in members:
            pipeline.hexists(member, "info")
        known = pipeline.execute(raise_on_error=False)
    # An error (a key of another type under that name) is not an `info` either, but not ours to judge.
    ghosts = [member for member, there in zip(members, known, strict=True) if not there]
    if ghosts:
        redis.srem(keys.PROCESSES, *ghosts)
    return [ghost.decode("utf-8", "replace") for ghost in ghosts]

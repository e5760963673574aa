"""Memory: what failing jobs held is freed when they are settled, whoever listens and however many fail at once."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest
import redis as redis_py

from pykiq.jobs.lifecycle import Lifecycle
from pykiq.observe.memory import rss_kb
from pykiq.worker.reporter import Reporter
from tests.servers import wait_until
from tests.worker.stage import push, raw, registry, staged

MEGABYTE = 1 << 20
JOBS = 1500
A_TURN = 50  # jobs that one turn settles
MOST_WHOLE = 42  # megabytes alive: those on their way to the reporter, and those of ten running jobs
ROOM = 100 * 1024  # KB that memory may grow by: those, and what an allocator keeps for itself


class Precious(bytearray):
    """Something big that a job's frame holds."""


alive: weakref.WeakSet[Any] = weakref.WeakSet()


def fail(number: int) -> None:
    precious = Precious(MEGABYTE)
    alive.add(Held(precious))
    raise ValueError(number)


class Held:
    """A weak set cannot have a bytearray; this one lives as long as it does."""

    def __init__(self, what: Precious) -> None:
        what.held = self  # type: ignore[attr-defined]


async def afail(number: int) -> None:
    precious = Precious(MEGABYTE)
    alive.add(Held(precious))
    await asyncio.sleep(0)
    raise ValueError(number)


@pytest.mark.parametrize("handler", [fail, afail], ids=["def", "async def"])
@pytest.mark.parametrize("heard_of", [False, True], ids=["unheard", "heard"])
def test_jobs_that_fail_with_a_megabyte_each_leave_nothing_behind(
    redis: redis_py.Redis, redis_url: str, handler: Any, heard_of: bool
) -> None:
    """No job needs a collection of cycles: nothing refers to itself by way of a traceback.

    But redis-py leaves a cycle when it catches an exception in a pipeline, and that one holds what the turn held.
    """
    hooks, told, most = Lifecycle(), 0, 0

    def late(error: BaseException, context: object) -> None:
        """The first failure is told for as long as there are others."""
        nonlocal told, most
        if told == 0:
            wait_until(lambda: redis.zcard("dead") == JOBS, 30, "all jobs dead")
        told, most = told + 1, max(most, len(alive))

    if heard_of:
        hooks.error_handler(late)
    reporter = Reporter([], hooks)
    reporter.start()
    push(redis, *(raw("Job", number, retry=0) for number in range(JOBS)))
    gc.collect()
    before = rss_kb()
    gc.disable()
    try:
        with staged(redis_url, registry(Job=handler), concurrency=10, report=reporter, hooks=hooks):
            wait_until(lambda: redis.zcard("dead") == JOBS, 30, "all jobs dead")
            wait_until(lambda: told == (JOBS if heard_of else 0), 10, "every failure told")
            wait_until(lambda: len(alive) <= A_TURN, 5, "the megabytes freed")
            wait_until(lambda: gc.collect() is not None and not alive, 5, "all megabytes freed")
        assert rss_kb() - before < ROOM
    finally:
        gc.enable()
        reporter.close(5)
    assert most <= MOST_WHOLE

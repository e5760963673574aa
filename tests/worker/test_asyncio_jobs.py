"""Many `async def` jobs in one process, and those that will not end."""

from __future__ import annotations

import asyncio
import gc
import threading
import time

import pytest
import redis as redis_py

from tests.servers import wait_until
from tests.worker.stage import in_flight, push, raw, registry, staged, waiting

MANY = 1000


def test_a_thousand_jobs_run_at_the_same_time_in_one_process(redis: redis_py.Redis, redis_url: str) -> None:
    """None of them ends before all of them run."""
    running: list[int] = []
    all_here = asyncio.Event()

    async def wait_for_all(number: int) -> None:
        running.append(number)
        if len(running) == MANY:
            all_here.set()
        await all_here.wait()

    push(redis, *(raw("Job", number) for number in range(MANY)))
    with staged(redis_url, registry(Job=wait_for_all), concurrency=MANY) as stage:
        wait_until(lambda: stage.reports.fates.count("done") == MANY, 20, "all jobs done")
        assert stage.stop() is True
    assert sorted(running) == list(range(MANY))
    assert in_flight(redis) == waiting(redis) == []


def test_a_thousand_sleeping_jobs_are_put_back_and_cancelled_at_the_deadline(
    redis: redis_py.Redis, redis_url: str
) -> None:
    cancelled: list[int] = []

    async def sleep(number: int) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(number)
            raise

    payloads = [raw("Job", number) for number in range(MANY)]
    push(redis, *payloads)
    with staged(redis_url, registry(Job=sleep), concurrency=MANY) as stage:
        wait_until(lambda: len(stage.exchange.running()) == MANY, 20, "all jobs running")
        assert stage.stop(timeout=0.05) is True
    assert sorted(cancelled) == list(range(MANY))
    assert waiting(redis) == payloads
    assert in_flight(redis) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # asyncio's, of the one that never ends
@pytest.mark.parametrize("stubbornness", ["returns", "raises another", "goes on for a while", "never ends"])
def test_a_coroutine_that_swallows_its_cancellation_neither_holds_up_the_stop_nor_settles_anything(
    redis: redis_py.Redis, redis_url: str, stubbornness: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykiq.worker.exchange.CLEANUP", 0.2)
    monkeypatch.setattr("pykiq.worker.loopslots.LAST_STEPS", 0.2)
    started = threading.Event()
    swallowed: list[str] = []
    released = False

    async def stubborn() -> None:
        started.set()
        while not released:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed.append(stubbornness)
                if stubbornness == "returns":
                    return
                if stubbornness == "raises another":
                    raise ValueError("not now") from None
                if stubbornness == "goes on for a while":
                    await asyncio.sleep(0.05)
                    return

    push(redis, raw("Job"))
    with staged(redis_url, registry(Job=stubborn)) as stage:
        assert started.wait(5)
        begun = time.monotonic()
        assert stage.stop(timeout=0.05) is True
        released = True
    assert swallowed
    assert time.monotonic() - begun < 10
    assert waiting(redis) == [raw("Job")]
    assert in_flight(redis) == []
    assert [redis.zcard(key) for key in ("retry", "dead")] == [0, 0]
    assert stage.reports.fates == ["requeued"]
    del stage
    gc.collect()  # here, not in whichever test comes next

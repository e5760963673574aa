"""perform_inline: a job as a worker would run it, here and now."""

from __future__ import annotations

from typing import Any

import pytest
import redis as redis_py

import pykiq
from pykiq.errors import ArgumentsError, PykiqError, SignatureMismatch
from pykiq.jobs.handler import for_function
from pykiq.jobs.inline import perform

pytestmark = pytest.mark.usefixtures("configured")


def test_the_handler_runs_and_its_result_is_returned_with_nothing_in_redis(redis: redis_py.Redis) -> None:
    @pykiq.job
    def double(n: int) -> int:
        return 2 * n

    assert double.perform_inline(21) == 42
    assert double.perform_inline(n=21) == 42
    assert redis.keys() == []


def test_an_async_handler_runs_on_a_loop_of_its_own() -> None:
    @pykiq.job
    async def double(n: int) -> int:
        return 2 * n

    assert double.perform_inline(21) == 42


async def test_inside_a_loop_an_async_handler_is_awaited_with_the_other_verb() -> None:
    @pykiq.job
    async def double(n: int) -> int:
        return 2 * n

    with pytest.raises(PykiqError, match=r"async handler double\(n: int\) inside an event loop; await aperform_inline"):
        double.perform_inline(21)
    assert await double.aperform_inline(21) == 42


async def test_a_plain_handler_may_be_awaited_too() -> None:
    class Double(pykiq.Job):
        def perform(self, n: int) -> tuple[int, str]:
            return 2 * n, self.jid

    doubled, jid = await Double.aperform_inline(21)
    assert doubled == 42
    assert len(jid) == 24


def test_arguments_go_through_json_as_on_the_way_to_a_worker() -> None:
    seen: list[Any] = []

    @pykiq.job
    def take(value: Any) -> None:
        seen.append(value)

    given = {"a": (1, 2)}
    take.perform_inline(given)
    assert seen == [{"a": [1, 2]}]
    with pytest.raises(ArgumentsError):
        take.perform_inline(object())


def test_options_are_in_the_payload_and_set_changes_them() -> None:
    seen: list[Any] = []

    @pykiq.job(queue="low", tags=["x"])
    def look() -> None:
        job = pykiq.current_job()
        seen.append((job.queue, job.payload["tags"], job.payload["retry"], job.attempt, "at" in job.payload))

    look.perform_inline()
    look.set(queue="high", retry=3, wait=60).perform_inline()
    assert seen == [("low", ["x"], True, 0, False), ("high", ["x"], 3, 0, False)]


def test_both_middleware_chains_run() -> None:
    log: list[str] = []

    @pykiq.client_middleware.add
    def client(job: Any, call_next: Any) -> Any:
        log.append("client")
        job["args"] = [job["args"][0] + 1]
        return call_next(job)

    @pykiq.server_middleware.add
    def server(job: pykiq.JobContext) -> Any:
        log.append("before")
        yield
        log.append("after")

    @pykiq.job
    def handler(n: int) -> int:
        log.append("handler")
        return n

    assert handler.perform_inline(1) == 2
    assert log == ["client", "before", "handler", "after"]


async def test_a_job_that_client_middleware_stops_does_not_run() -> None:
    pykiq.client_middleware.add(lambda job, call_next: None)
    ran: list[int] = []

    @pykiq.job
    def handler(n: int) -> None:
        ran.append(n)

    assert handler.perform_inline(1) is None
    assert await handler.aperform_inline(1) is None
    assert ran == []


async def test_the_jobs_error_is_raised_and_no_job_is_current_afterwards() -> None:
    @pykiq.job
    def fail() -> None:
        raise KeyError(pykiq.current_job().jid)

    with pytest.raises(KeyError):
        fail.perform_inline()
    with pytest.raises(KeyError):
        await fail.aperform_inline()
    with pytest.raises(PykiqError, match="no job is running here"):
        pykiq.current_job()


def test_arguments_that_do_not_fit_are_a_mismatch_as_in_a_worker() -> None:
    job: Any = pykiq.job("Take")(lambda n: None)
    with pytest.raises(SignatureMismatch, match="given 2 arguments, takes 1"):
        job.perform_inline(1, 2)


def test_a_job_whose_expiry_has_passed_does_not_run() -> None:
    ran: list[int] = []
    handler = for_function(ran.append, "Job", {"queue": "default"})
    job = {"class": "Job", "args": [1]}
    assert perform(handler, {**job, "expiry": 4e9, "expires_in": 1}) is None
    assert ran == [1]
    perform(handler, {**job, "expiry": 1_000_000_001})
    assert ran == [1]

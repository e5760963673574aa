"""Draining: jobs run as in a worker, without its waits; and what a test sees of them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from typing import Any

import pytest

import pykiq
from pykiq.errors import JobTimeout, PykiqError
from pykiq.testing import Jobs, fake
from tests.servers import wait_until

HardJob = pykiq.remote("HardJob", queue="ruby")


def failing(**options: Any) -> Any:
    @pykiq.job("FlakyJob", **options)
    def flaky(failures: int) -> None:
        if pykiq.current_job().attempt < failures:
            raise ValueError(f"attempt {pykiq.current_job().attempt}")

    return flaky


def test_drain_runs_what_waits_and_what_that_pushes(pykiq_jobs: Jobs) -> None:
    ran: list[int] = []

    @pykiq.job
    def count_down(n: int) -> None:
        ran.append(n)
        if n:
            count_down.perform_in(3600, n - 1)

    count_down.perform_async(2)
    assert pykiq_jobs.drain() == {"done": 3}
    assert ran == [2, 1, 0]
    assert len(pykiq_jobs) == 0
    assert len(pykiq_jobs.pushed) == 3


def test_jobs_run_in_the_order_of_their_pushes_scheduled_ones_by_their_time(pykiq_jobs: Jobs) -> None:
    ran: list[str] = []
    note = pykiq.job("Note")(ran.append)
    note.perform_in(7200, "in two hours")
    note.perform_in(3600, "in an hour")
    note.set(queue="low").perform_async("first")
    note.perform_async("second")
    pykiq_jobs.drain()
    assert ran == ["first", "second", "in an hour", "in two hours"]


def test_server_middleware_is_around_them_and_client_middleware_runs_again_for_due_ones(pykiq_jobs: Jobs) -> None:
    seen: list[str] = []

    @pykiq.server_middleware.add
    def around(job: pykiq.JobContext) -> Generator[None]:
        seen.append("before")
        yield
        seen.append("after")

    @pykiq.server_middleware.add
    async def async_around(job: pykiq.JobContext) -> AsyncGenerator[None]:
        await asyncio.sleep(0)
        seen.append("async")
        yield

    @pykiq.client_middleware.add
    def push(job: dict[str, Any], call_next: Callable[[dict[str, Any]], Any]) -> Any:
        seen.append("push")
        return call_next(job)

    pykiq.job("Note")(seen.append).perform_in(60, "job")
    pykiq_jobs.drain()
    assert seen == ["push", "push", "before", "async", "job", "after"]


def test_a_failed_job_is_tried_again_with_its_count(pykiq_jobs: Jobs) -> None:
    failing().perform_async(2)
    assert pykiq_jobs.drain() == {"retry": 2, "done": 1}


def test_one_try_at_a_time_can_be_looked_at(pykiq_jobs: Jobs) -> None:
    flaky = failing()
    flaky.perform_async(2)
    assert pykiq_jobs.perform_one() == {"retry": 1}
    [retry] = pykiq_jobs.retries
    assert (retry.payload["retry_count"], retry.payload["error_message"]) == (0, "attempt 0")
    assert retry.at is not None
    assert retry.at > retry.payload["failed_at"]
    assert pykiq_jobs.perform_one() == {"retry": 1}
    assert pykiq_jobs.retries[0].payload["retry_count"] == 1
    assert pykiq_jobs.perform_one() == {"done": 1}
    assert pykiq_jobs.perform_one() == {}


def test_the_error_of_a_job_that_dies_is_raised_and_the_rest_waits(pykiq_jobs: Jobs) -> None:
    flaky = failing(retry=2)
    flaky.perform_async(99)
    flaky.perform_async(0)
    with pytest.raises(ValueError, match="attempt 2") as raised:
        pykiq_jobs.of_class(flaky).drain()
    shown = [entry.name for entry in raised.traceback if not entry.ishidden(raised)]
    assert shown == ["test_the_error_of_a_job_that_dies_is_raised_and_the_rest_waits", "flaky"]
    assert raised.value.__notes__[0].startswith("raised by the job FlakyJob ")
    [dead] = pykiq_jobs.dead
    assert dead.payload["retry_count"] == 2
    assert pykiq_jobs.drain(raise_errors=False) == {}, "the second one has run between the tries of the first"


def test_without_raising_everything_ends(pykiq_jobs: Jobs) -> None:
    flaky = failing(retry=1)
    flaky.perform_async(99)
    flaky.perform_async(0)
    assert pykiq_jobs.drain(raise_errors=False) == {"retry": 1, "done": 1, "dead": 1}


def test_the_hooks_of_a_failure_are_called_in_order(pykiq_jobs: Jobs) -> None:
    told: list[Any] = []

    @pykiq.death_handler
    def died(job: Mapping[str, Any], error: BaseException) -> None:
        told.append(("death", job["retry_count"], len(pykiq_jobs.dead)))

    @pykiq.error_handler
    async def failed(error: BaseException, context: Mapping[str, Any]) -> None:
        await asyncio.sleep(0)
        told.append(("error", str(error)))

    flaky = failing(retry=1)
    flaky.retry_in(lambda count, error: told.append(("retry_in", count)))
    flaky.retries_exhausted(lambda job, error: told.append(("exhausted", job["retry_count"])))
    flaky.perform_async(99)
    pykiq_jobs.drain(raise_errors=False)
    assert told == [
        *(("retry_in", 0), ("error", "attempt 0")),
        *(("exhausted", 1), ("death", 1, 1), ("error", "attempt 1")),
    ]


def test_a_handler_decides_about_its_job(pykiq_jobs: Jobs) -> None:
    @pykiq.job
    def decide(how: str) -> None:
        if how == "snooze":
            if not hasattr(decide, "woken"):
                decide.woken = True  # type: ignore[attr-defined]
                raise pykiq.Snooze(3600)
        elif how == "discard":
            raise pykiq.Discard("why")
        else:
            raise pykiq.Kill("why")

    decide.perform_bulk([["snooze"], ["discard"], ["kill"]])
    assert pykiq_jobs.drain() == {"snoozed": 1, "discarded": 1, "dead": 1, "done": 1}
    assert [job.args for job in pykiq_jobs.dead] == [["kill"]]


def test_a_job_may_expire_when_it_is_due_and_not_before(pykiq_jobs: Jobs) -> None:
    ran: list[int] = []

    @pykiq.job(expires_in=2)
    def late(number: int) -> None:
        ran.append(number)

    late.perform_in(4, 1)
    pykiq.Client().push({"class": late, "args": [2], "expiry": time.time() - 5})
    assert pykiq_jobs.drain() == {"done": 1, "expired": 1}
    assert ran == [1]


def test_classes_without_a_handler_stay(pykiq_jobs: Jobs) -> None:
    HardJob.perform_async(1)
    HardJob.perform_in(60, 2)
    failing().perform_async(0)
    assert pykiq_jobs.drain() == {"done": 1}
    assert [job.args for job in pykiq_jobs] == [[1], [2]]


def test_a_plain_handler_runs_in_the_thread_of_the_test_and_leaves_its_context_alone(pykiq_jobs: Jobs) -> None:
    """A transaction of the test is one of this thread."""
    ran: list[threading.Thread] = []

    @pykiq.job
    def note() -> None:
        ran.append(threading.current_thread())

    note.perform_async()
    pykiq_jobs.drain()
    assert ran == [threading.current_thread()]
    with pytest.raises(PykiqError, match="no job is running"):
        pykiq.current_job()


def test_async_handlers_share_one_loop(pykiq_jobs: Jobs) -> None:
    loops = []

    @pykiq.job(timeout=5)
    async def note() -> None:
        await asyncio.sleep(0)
        loops.append(asyncio.get_running_loop())

    note.perform_bulk([[], []])
    assert pykiq_jobs.drain() == {"done": 2}
    assert loops[0] is loops[1]


async def test_in_an_asyncio_test_async_handlers_run_on_its_loop(pykiq_jobs: Jobs) -> None:
    seen: list[Any] = []

    @pykiq.job
    async def fetch(n: int) -> None:
        seen.append(asyncio.get_running_loop())
        await compute.aperform_async(n)

    @pykiq.job
    def compute(n: int) -> None:
        seen.append(asyncio.run(asyncio.sleep(0, n)))

    await fetch.aperform_async(1)
    assert await pykiq_jobs.aperform_one() == {"done": 1}
    assert await pykiq_jobs.adrain() == {"done": 1}
    assert seen == [asyncio.get_running_loop(), 1]


async def test_the_plain_drain_works_in_an_asyncio_test_too(pykiq_jobs: Jobs) -> None:
    ran: list[int] = []

    @pykiq.job
    async def fetch(n: int) -> None:
        await asyncio.sleep(0)
        ran.append(n)

    fetch.perform_async(1)
    assert pykiq_jobs.drain() == {"done": 1}
    assert ran == [1]


async def test_death_handlers_of_both_kinds_run_in_an_asyncio_test(pykiq_jobs: Jobs) -> None:
    told = []

    @pykiq.death_handler
    async def died(job: Mapping[str, Any], error: BaseException) -> None:
        told.append(str(error))

    @pykiq.job(retry=0)
    async def fetch() -> None:
        raise ValueError("no")

    await fetch.aperform_async()
    with pytest.raises(ValueError, match="no"):
        await pykiq_jobs.adrain()
    assert told == ["no"]


def test_a_job_that_never_ends_is_stopped_with_a_word(pykiq_jobs: Jobs) -> None:
    @pykiq.job
    def poll() -> None:
        raise pykiq.Snooze(1)

    poll.perform_async()
    with pytest.raises(PykiqError, match="20 jobs have run and Poll is next"):
        pykiq_jobs.drain(limit=20)
    failing().perform_bulk([[0], [0]])
    assert pykiq_jobs.of_class("FlakyJob").drain(limit=2) == {"done": 2}


@pytest.mark.parametrize("verb", ["perform_async", "perform_in"])
def test_a_drain_of_more_jobs_than_the_limit_ends(pykiq_jobs: Jobs, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """The limit is for what jobs push, not for what the test has pushed."""
    monkeypatch.setattr("pykiq.testing.jobs.LIMIT", 10)
    ran: list[int] = []
    note = pykiq.job("Note")(ran.append)
    for n in range(1000):
        note.perform_async(n) if verb == "perform_async" else note.perform_in(60 + n, n)
    assert pykiq_jobs.drain() == {"done": 1000}
    assert ran == list(range(1000))


@pytest.mark.parametrize("raised", [KeyboardInterrupt, pytest.fail.Exception, pytest.skip.Exception])
def test_what_is_no_exception_ends_the_drain_at_once(pykiq_jobs: Jobs, raised: type[BaseException]) -> None:
    @pykiq.job
    def stop() -> None:
        raise raised("enough")

    stop.perform_async()
    with pytest.raises(raised):
        pykiq_jobs.drain(raise_errors=False)
    assert len(pykiq_jobs.retries) == 1


def test_views_show_run_and_clear_their_part_only(pykiq_jobs: Jobs) -> None:
    ran: list[str] = []
    note = pykiq.job("Note", queue="notes")(ran.append)
    note.perform_async("a")
    note.set(queue="low").perform_async("b")
    HardJob.perform_async(1)
    assert [len(view) for view in (pykiq_jobs.of_class(note), pykiq_jobs.of_class("::Note"))] == [2, 2]
    assert [job.args for job in pykiq_jobs.in_queue("low").of_class(note)] == [["b"]]
    assert pykiq_jobs.in_queue("low").drain() == {"done": 1}
    assert ran == ["b"]
    pykiq_jobs.of_class(HardJob).clear()
    assert [job.args for job in pykiq_jobs.pushed] == [["a"], ["b"]]
    pykiq_jobs.clear()
    assert (pykiq_jobs.pushed, pykiq_jobs.jobs) == ([], [])
    assert repr(pykiq_jobs) == "<0 waiting, 0 to retry, 0 dead>"
    with pytest.raises(TypeError, match="is no class of jobs"):
        pykiq_jobs.of_class(42)


def test_what_a_handler_does_to_its_payload_is_not_in_the_record(pykiq_jobs: Jobs) -> None:
    @pykiq.job
    def change(items: list[int]) -> None:
        items.append(2)

    change.perform_async([1])
    pykiq_jobs.drain()
    assert pykiq_jobs.pushed[0].args == [[1]]


def test_blocks_leave_no_thread_behind() -> None:
    before = threading.active_count()

    @pykiq.job
    async def note() -> None: ...

    @pykiq.job(timeout=0.01, retry=0)
    def slow() -> None:
        while True:
            time.sleep(0.001)

    with fake() as jobs:
        note.perform_async()
        slow.perform_async()
        with pytest.raises(JobTimeout):
            jobs.drain()
    wait_until(lambda: threading.active_count() == before, what="the end of the loop's and the watcher's threads")


def test_an_active_job_is_seen_with_its_own_class_and_arguments_and_its_retry_on_is_drained(pykiq_jobs: Jobs) -> None:
    @pykiq.job("InvoiceJob", active_job=True, rescue=pykiq.activejob.RetryOn(ValueError, attempts=3))
    def invoice(number: int, *, kind: str) -> None:
        if pykiq.activejob.current().executions < 3:
            raise ValueError("not yet")

    invoice.perform_async(7, kind=pykiq.activejob.Symbol("full"))
    [job] = pykiq_jobs.of_class(invoice)
    assert (job.job_class, job.args) == ("InvoiceJob", [7, {"kind": "full"}])
    pykiq_jobs.assert_enqueued("InvoiceJob", args=[7, {"kind": "full"}], wrapped="InvoiceJob")
    assert pykiq_jobs.drain() == {"retry": 2, "done": 1}
    assert len(pykiq_jobs) == 0

"""What a running job may ask about itself."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

import pykiq
from pykiq.errors import PykiqError
from pykiq.jobs.context import JobContext, enter, leave
from tests.logs import capture_logs


def context(**payload: object) -> JobContext:
    return JobContext({"class": "Billing::ChargeJob", "jid": "abc", "args": [], **payload}, "critical")


def test_outside_of_a_job_there_is_no_current_one() -> None:
    with pytest.raises(PykiqError, match=r"no job is running here: call current_job\(\) inside a handler"):
        pykiq.current_job()


def test_the_current_job_is_the_one_that_was_entered_until_it_is_left() -> None:
    outer, inner = context(), context()
    token = enter(outer)
    assert pykiq.current_job() is outer
    nested = enter(inner)
    assert pykiq.current_job() is inner
    leave(nested)
    assert pykiq.current_job() is outer
    leave(token)
    with pytest.raises(PykiqError):
        pykiq.current_job()


def test_threads_and_tasks_see_their_own_job() -> None:
    async def seen(mine: JobContext) -> bool:
        token = enter(mine)
        await asyncio.sleep(0)
        same = pykiq.current_job() is mine
        leave(token)
        return same

    async def both() -> list[bool]:
        return await asyncio.gather(seen(context()), seen(context()))

    assert asyncio.run(both()) == [True, True]

    inside: list[str] = []
    token = enter(context())
    copied = contextvars.copy_context()
    for run in (lambda: inside.append("none"), lambda: copied.run(lambda: inside.append(pykiq.current_job().jid))):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    leave(token)
    assert inside == ["none", "abc"]


def test_a_context_knows_its_job() -> None:
    mine = context(retry_count=2, queue="default")
    assert (mine.jid, mine.name, mine.queue, mine.attempt, mine.stopping) == (
        "abc",
        "Billing::ChargeJob",
        "critical",
        3,
        False,
    )
    assert context().attempt == 0
    assert JobContext({}, "q").jid == ""


def test_stopping_is_asked_anew_each_time() -> None:
    answers = iter([False, True])
    mine = JobContext({"class": "A"}, "q", stopping=lambda: next(answers))
    assert [mine.stopping, mine.stopping] == [False, True]


def test_the_log_is_bound_with_class_and_jid() -> None:
    with capture_logs() as lines:
        context(display_class="Math.sqrt").log.info("half way", done=50)
    assert lines == [{"event": "half way", "done": 50, "class": "Math.sqrt", "jid": "abc", "log_level": "info"}]

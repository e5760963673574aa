"""fake, inline, disable: where pushes go, from whichever thread or task they come."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest
import redis as redis_py

import pykiq
from pykiq.errors import ArgumentsError
from pykiq.testing import Jobs, disable, fake, inline

HardJob = pykiq.remote("HardJob", queue="ruby", retry=5)


def test_a_fake_push_is_seen_as_ruby_would_store_it() -> None:
    @pykiq.client_middleware.add
    def tenant(job: dict[str, Any], call_next: Callable[[dict[str, Any]], Any]) -> Any:
        job["tenant"] = ("acme", 7)
        return call_next(job)

    with fake() as jobs:
        jid = HardJob.perform_async(1, "zwölf", 1.5)
    [job] = jobs
    assert (job.jid, job.job_class, job.args, job.queue, job.at) == (jid, "HardJob", [1, "zwölf", 1.5], "ruby", None)
    assert job.raw.startswith('{"retry":5,"queue":"ruby","args":[1,"zwölf",1.5],"class":"HardJob"'.encode())
    assert list(job.payload)[-3:] == ["created_at", "tenant", "enqueued_at"]
    assert job.payload["tenant"] == ["acme", 7], "a tuple is a list on the other side"
    assert json.loads(job.raw) == job.payload


def test_what_redis_would_never_have_got_is_refused_in_a_fake_too() -> None:
    with fake() as jobs, pytest.raises(ArgumentsError):
        HardJob.perform_async(object())
    assert len(jobs) == 0


def test_scheduled_pushes_have_their_time_and_no_enqueued_at() -> None:
    with fake() as jobs:
        HardJob.perform_in(60, 1)
        HardJob.perform_async(2)
    soon, later = jobs
    assert (soon.args, later.args) == ([2], [1])
    assert later.at is not None
    assert later.queue == "ruby"
    assert "enqueued_at" not in later.payload
    assert "at" not in later.payload


async def test_every_verb_and_both_clients_are_diverted() -> None:
    with fake() as jobs:
        HardJob.perform_bulk([[1], [2]])
        await HardJob.aperform_async(3)
        await HardJob.aperform_bulk([[4]])
        pykiq.Client().push({"class": "HardJob", "args": [5]})
        async with pykiq.AsyncClient() as client:
            await client.push({"class": "HardJob", "args": [6]})
    assert [job.args for job in jobs] == [[1], [2], [3], [4], [5], [6]]


def test_after_the_block_pushes_go_to_redis_again() -> None:
    with fake():
        pass
    with pytest.raises(redis_py.RedisError):
        HardJob.perform_async(1)


def test_disable_pushes_to_redis_inside_of_a_fake(redis: redis_py.Redis, redis_url: str) -> None:
    pykiq.configure(redis=redis_url)
    with fake() as jobs:
        HardJob.perform_async(1)
        with disable():
            HardJob.perform_async(2)
        HardJob.perform_async(3)
    assert [job.args for job in jobs] == [[1], [3]]
    [raw] = redis.lrange("queue:ruby", 0, -1)
    assert json.loads(raw)["args"] == [2]


def test_of_two_blocks_the_inner_one_sees_the_push() -> None:
    with fake() as outer:
        with fake() as inner:
            HardJob.perform_async(1)
        HardJob.perform_async(2)
    assert ([job.args for job in inner], [job.args for job in outer]) == ([[1]], [[2]])


def test_a_thread_of_the_program_under_test_is_seen_too() -> None:
    """A plain thread does not inherit context variables: a real Redis must not get its pushes."""
    with fake() as jobs:
        thread = threading.Thread(target=HardJob.perform_async, args=(1,))
        thread.start()
        thread.join()
    assert len(jobs) == 1


async def test_tests_side_by_side_do_not_see_each_others_pushes() -> None:
    both_open, one_pushed = asyncio.Event(), asyncio.Event()

    async def one() -> Jobs:
        with fake() as jobs:
            await both_open.wait()
            await HardJob.aperform_async("one")
            await asyncio.to_thread(HardJob.perform_async, "one, in a thread")
            one_pushed.set()
        return jobs

    async def other() -> Jobs:
        with fake() as jobs:
            both_open.set()
            await HardJob.aperform_async("other")
            await one_pushed.wait()
            await HardJob.aperform_async("other, the last one open")
        return jobs

    mine, others = await asyncio.gather(one(), other())
    assert [job.args for job in mine] == [["one"], ["one, in a thread"]]
    assert [job.args for job in others] == [["other"], ["other, the last one open"]]


def test_a_block_of_an_inner_fixture_wins_in_a_context_copied_before_it() -> None:
    """As an asyncio test does: its context is copied once, and fixtures open and end blocks outside of it."""
    ended = fake()
    ended.__enter__()
    import contextvars

    copied = contextvars.copy_context()
    with fake() as inner:
        copied.run(HardJob.perform_async, 1)
    ended.__exit__(None, None, None)
    with fake() as next_one:
        copied.run(HardJob.perform_async, 2)
    assert ([job.args for job in inner], [job.args for job in next_one]) == ([[1]], [[2]])


def test_inline_runs_a_job_while_it_is_pushed() -> None:
    ran: list[Any] = []

    @pykiq.server_middleware.add
    def around(job: pykiq.JobContext) -> Generator[None]:
        ran.append(job.queue)
        yield

    @pykiq.job(queue="critical")
    def charge(order: int) -> None:
        ran.append((order, pykiq.current_job().jid))

    with inline() as jobs:
        jid = charge.perform_async(42)
        assert ran == ["critical", (42, jid)]
        charge.perform_in(3600, 43)
        assert ran[-1][0] == 43
    assert len(jobs) == 0
    assert len(jobs.pushed) == 2


def test_inline_raises_what_the_job_raises_but_for_discard_and_snooze() -> None:
    @pykiq.job
    def end(how: str) -> None:
        raise {"discard": pykiq.Discard(), "snooze": pykiq.Snooze(5), "bug": ValueError("a bug")}[how]

    with inline():
        end.perform_async("discard")
        end.perform_async("snooze")
        with pytest.raises(ValueError, match="a bug"):
            end.perform_async("bug")


def test_inline_keeps_what_runs_in_ruby() -> None:
    with inline() as jobs:
        HardJob.perform_async(1)
    assert [job.args for job in jobs] == [[1]]


async def test_inline_runs_async_handlers_for_both_kinds_of_verbs() -> None:
    threads: list[threading.Thread] = []

    @pykiq.job
    async def fetch() -> None:
        await asyncio.sleep(0)
        threads.append(threading.current_thread())

    with inline():
        await fetch.aperform_async()
        fetch.perform_async()
    assert threads[0] is threading.current_thread(), "the loop of the test"
    assert threads[1] is not threading.current_thread(), "this one is blocked by the verb"


async def test_inline_runs_a_plain_handler_on_a_thread_for_an_awaited_verb() -> None:
    ran = []

    @pykiq.job
    def compute() -> None:
        ran.append(asyncio.run(asyncio.sleep(0, 42)))

    with inline():
        await compute.aperform_async()
    assert ran == [42]


def test_a_job_that_runs_inline_pushes_inline() -> None:
    ran = []

    @pykiq.job
    async def second(n: int) -> None:
        ran.append(n)

    @pykiq.job
    async def first(n: int) -> None:
        await second.aperform_async(n + 1)

    with inline():
        first.perform_async(1)
    assert ran == [2]

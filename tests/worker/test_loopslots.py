"""Tasks for `async def` handlers, on one loop that outlives whatever they do."""

from __future__ import annotations

import asyncio
import gc
import queue
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from pykiq.records import Acknowledge, Assigned, Outcome, Word
from pykiq.worker.loopslots import LoopSlots, LoopThread
from tests.servers import wait_until
from tests.worker.stage import claimed, executor, raw, registry, threads_here


def job(number: object) -> Assigned:
    return Assigned(claimed(raw("Job", str(number))), {}, None, "Job", str(number))  # type: ignore[arg-type]


class Bench:
    def __init__(self, size: int, body: Callable[[Assigned], Awaitable[Any]]) -> None:
        self.outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self.body = body
        self.thread = LoopThread()
        self.slots = LoopSlots(size, self.thread, self._run, self.outcomes.put)

    async def _run(self, assigned: Assigned) -> Outcome:
        await self.body(assigned)
        return Outcome(assigned.claimed, Word.DONE, Acknowledge(), "Job", assigned.jid)

    def take(self, count: int) -> list[str]:
        return [self.outcomes.get(timeout=5).jid for _ in range(count)]


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(size: int, body: Callable[[Assigned], Awaitable[Any]]) -> Bench:
        made.append(Bench(size, body))
        return made[-1]

    yield make
    for one in made:
        one.thread.close()
    wait_until(lambda: not [one for one in threads_here() if one.name == "pykiq-async"], what="the loop's end")


async def soon(assigned: Assigned) -> None:
    await asyncio.sleep(0)


def test_no_loop_runs_before_the_first_job() -> None:
    thread = LoopThread()
    assert not thread.started
    thread.close()
    assert "pykiq-async" not in {one.name for one in threads_here()}


def test_all_jobs_run_and_no_more_at_once_than_there_are_slots(bench: Callable[..., Bench]) -> None:
    now = most = 0

    async def count(assigned: Assigned) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1

    made = bench(3, count)
    made.slots.submit([job(number) for number in range(30)])
    assert sorted(made.take(30), key=int) == [str(number) for number in range(30)]
    assert most == 3


def test_an_interruption_cancels_what_runs_and_nothing_else_starts(bench: Callable[..., Bench]) -> None:
    ran: list[str] = []
    cancelled: list[str] = []

    async def forever(assigned: Assigned) -> None:
        ran.append(assigned.jid)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(assigned.jid)
            raise

    made = bench(2, forever)
    made.slots.submit([job(number) for number in range(4)])
    wait_until(lambda: len(made.slots.running()) == 2)
    made.slots.interrupt()
    wait_until(lambda: made.slots.running() == [])
    assert ran == cancelled == ["0", "1"]


def test_a_job_submitted_just_before_the_interruption_is_cancelled_or_never_starts(
    bench: Callable[..., Bench],
) -> None:
    async def forever(assigned: Assigned) -> None:
        await asyncio.sleep(60)

    made = bench(2, forever)
    looked = threading.Event()
    made.slots.submit([job(1)])
    made.slots.interrupt()
    made.thread.loop.call_soon_threadsafe(lambda: made.thread.loop.call_soon(looked.set))
    assert looked.wait(5)
    wait_until(lambda: made.slots.running() == [])
    assert made.outcomes.empty()


def test_what_a_job_sets_in_a_context_variable_is_gone_with_the_job(bench: Callable[..., Bench]) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="fresh")
    seen: list[str] = []

    async def look_and_set(assigned: Assigned) -> None:
        seen.append(variable.get())
        variable.set("used")

    made = bench(1, look_and_set)
    made.slots.submit([job(number) for number in range(3)])
    made.take(3)
    assert seen == ["fresh"] * 3


def test_a_job_whose_task_is_cancelled_before_its_first_step_still_runs(bench: Callable[..., Bench]) -> None:
    """A handler that cancels every task meets some that have not begun: nobody would ever hear of their jobs."""

    async def cancel_all(assigned: Assigned) -> None:
        if assigned.jid == "first":
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

    made = bench(5, cancel_all)
    made.slots.submit([job("first"), *(job(number) for number in range(4))])
    assert sorted(made.take(5)) == ["0", "1", "2", "3", "first"]


def test_a_job_that_cancels_its_own_task_and_returns_has_ended(bench: Callable[..., Bench]) -> None:
    async def cancel(assigned: Assigned) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    made = bench(1, cancel)
    made.slots.submit([job(1), job(2)])
    assert made.take(2) == ["1", "2"]


def test_a_batch_wakes_the_loop_once(bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    made = bench(100, soon)
    loop = made.thread.loop
    calls: list[object] = []
    plain = loop.call_soon_threadsafe
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *args: (calls.append(args), plain(*args)))
    made.slots.submit([job(number) for number in range(100)])
    made.take(100)
    assert len(calls) == 1


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_the_loop_survives_a_task_that_exits(bench: Callable[..., Bench], error: type[BaseException]) -> None:
    async def body(assigned: Assigned) -> None:
        if assigned.jid == "exit":
            raise error

    made = bench(2, body)
    made.slots.submit([job("exit"), job("next")])
    assert made.take(1) == ["next"]
    wait_until(lambda: made.slots.running() == [])
    made.slots.submit([job("later")])
    assert made.take(1) == ["later"]


def test_the_tasks_carry_their_jobs_names(bench: Callable[..., Bench]) -> None:
    gate = asyncio.Event()

    async def wait(assigned: Assigned) -> None:
        await gate.wait()

    made = bench(1, wait)
    made.slots.submit([job("abc")])
    wait_until(lambda: made.slots.tasks())
    assert made.slots.tasks()[0].get_name() == "pykiq abc"
    made.thread.loop.call_soon_threadsafe(gate.set)
    made.take(1)


def test_what_handlers_left_on_the_loop_is_cancelled_when_it_closes() -> None:
    cleaned: list[str] = []
    left: list[object] = []

    async def background() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            cleaned.append("task")

    async def generate() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            cleaned.append("generator")

    async def body(assigned: Assigned) -> None:
        generator = generate()
        left.extend([asyncio.create_task(background()), generator])
        await anext(generator)
        await asyncio.sleep(0)

    made = Bench(1, body)
    made.slots.submit([job(1)])
    made.take(1)
    made.thread.close()
    assert sorted(cleaned) == ["generator", "task"]


@pytest.mark.parametrize("mode", ["returns", "raises", "times out"])
def test_nothing_of_an_ended_job_is_kept_alive(mode: str) -> None:
    class Precious:
        pass

    references: list[weakref.ref[Any]] = []

    async def hold() -> None:
        precious = Precious()
        references.append(weakref.ref(precious))
        await asyncio.sleep(60 if mode == "times out" else 0)
        if mode == "raises":
            raise ValueError("boom")

    outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    thread = LoopThread()
    made = executor(registry(Job=hold), loop=thread)
    slots = LoopSlots(1, thread, made.arun, outcomes.put)
    assigned = made.assign(claimed(raw("Job", **({"timeout": 0.01} if mode == "times out" else {}))))
    assert isinstance(assigned, Assigned)
    gc.collect()
    gc.disable()
    try:
        slots.submit([assigned])
        outcome = outcomes.get(timeout=5)
        wait_until(lambda: slots.running() == [])
        wait_until(lambda: references[0]() is None, 2, "the job's local to be freed")
    finally:
        gc.enable()
        thread.close()
    assert (outcome.error_class is None) is (mode == "returns")


def test_who_runs_can_be_asked_while_tasks_come_and_go(bench: Callable[..., Bench]) -> None:
    made = bench(50, soon)
    made.slots.submit([job(number) for number in range(3000)])
    while made.outcomes.qsize() < 3000:
        assert len(made.slots.running()) <= 50
        assert len(made.slots.tasks()) <= 50

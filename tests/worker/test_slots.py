"""Threads for `def` handlers: made when needed, never more than their number, gone when closed."""

from __future__ import annotations

import gc
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar

import pytest

from pykiq.errors import Interrupted
from pykiq.records import Acknowledge, Assigned, Outcome, Word
from pykiq.worker.slots import ThreadSlots
from tests.servers import wait_until
from tests.worker.stage import claimed, handler, raw, threads_here


def job(number: object) -> Assigned:
    return Assigned(claimed(raw("Job", str(number))), {"number": number}, handler("Job", print), "Job", str(number))


def outcome_of(assigned: Assigned) -> Outcome:
    return Outcome(assigned.claimed, Word.DONE, Acknowledge(), "Job", assigned.jid)


class Bench:
    """Slots whose jobs run `body`, and what came out of them."""

    def __init__(self, size: int, body: Callable[[Assigned], None]) -> None:
        self.outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self.body = body
        self.slots = ThreadSlots(size, self._run, self.outcomes.put, "bench-")

    def _run(self, assigned: Assigned) -> Outcome:
        self.body(assigned)
        return outcome_of(assigned)

    def take(self, count: int) -> list[str]:
        return [self.outcomes.get(timeout=5).jid for _ in range(count)]

    def threads(self) -> list[threading.Thread]:
        return [thread for thread in threads_here() if thread.name.startswith("pykiq-bench-")]


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(size: int, body: Callable[[Assigned], None] = lambda assigned: None) -> Bench:
        made.append(Bench(size, body))
        return made[-1]

    yield make
    for one in made:
        one.slots.close()
        wait_until(lambda: not one.threads(), what="the end of the slots' threads")  # noqa: B023


def test_a_thread_is_made_only_when_none_is_idle(bench: Callable[..., Bench]) -> None:
    made = bench(5)
    assert made.threads() == []
    for number in range(20):
        made.slots.submit([job(number)])
        assert made.take(1) == [str(number)]
        wait_until(lambda: len(made.slots.idle) == 1)
    assert len(made.threads()) == 1


def test_no_more_jobs_run_at_once_than_there_are_slots(bench: Callable[..., Bench]) -> None:
    gate = threading.Event()
    made = bench(3, lambda assigned: gate.wait(5) and None)
    made.slots.submit([job(number) for number in range(10)])
    wait_until(lambda: len(made.slots.running()) == 3)
    assert len(made.slots.waiting) == 7
    assert len(made.threads()) == 3
    gate.set()
    assert sorted(made.take(10), key=int) == [str(number) for number in range(10)]


def test_each_thread_that_is_woken_wakes_the_next_until_all_jobs_run(bench: Callable[..., Bench]) -> None:
    together = threading.Barrier(5)
    made = bench(5, lambda assigned: together.wait(5) and None)
    made.slots.submit([job("x")] * 2)  # some threads are there before, some are not
    wait_until(lambda: together.n_waiting == 2)
    made.slots.submit([job("x")] * 3)
    made.take(5)
    for _ in range(100):
        wait_until(lambda: len(made.slots.idle) == 5)
        made.slots.submit([job("x")] * 5)
        made.take(5)


def test_threads_that_are_idle_do_not_keep_new_ones_from_being_made(bench: Callable[..., Bench]) -> None:
    together = threading.Barrier(3)
    made = bench(3, lambda assigned: assigned.jid == "first" or (together.wait(5) and None))
    made.slots.submit([job("first")])
    made.take(1)
    wait_until(lambda: len(made.slots.idle) == 1)
    made.slots.submit([job("x")] * 3)
    made.take(3)


def test_a_batch_runs_in_order_on_one_thread(bench: Callable[..., Bench]) -> None:
    made = bench(1)
    made.slots.submit([job(number) for number in range(50)])
    assert made.take(50) == [str(number) for number in range(50)]


def test_many_batches_from_one_thread_are_all_run(bench: Callable[..., Bench]) -> None:
    """Whoever goes to sleep looks once more: none of these may be left for a thread that nobody wakes."""
    made = bench(4)
    for number in range(1000):
        made.slots.submit([job(number)])
        if number % 7 == 0:
            made.take(1)
    assert len(made.take(1000 - len(range(0, 1000, 7)))) == 1000 - len(range(0, 1000, 7))


def test_running_tells_thread_job_and_start(bench: Callable[..., Bench]) -> None:
    gate = threading.Event()
    made = bench(2, lambda assigned: gate.wait(5) and None)
    before = time.time()
    made.slots.submit([job(1)])
    wait_until(lambda: made.slots.running())
    [(ident, assigned, started_at)] = made.slots.running()
    assert ident == made.threads()[0].ident
    assert assigned.jid == "1"
    assert before <= started_at <= time.time()
    gate.set()
    made.take(1)
    wait_until(lambda: made.slots.running() == [])


def spin(assigned: Assigned) -> None:
    while True:
        time.sleep(0.002)


def test_an_interruption_ends_running_jobs_and_nothing_else_starts(bench: Callable[..., Bench]) -> None:
    ran: list[str] = []

    def body(assigned: Assigned) -> None:
        ran.append(assigned.jid)
        spin(assigned)

    made = bench(2, body)
    made.slots.submit([job(1), job(2), job(3)])
    wait_until(lambda: len(ran) == 2)
    made.slots.interrupt()
    wait_until(lambda: made.slots.running() == [])
    wait_until(lambda: not made.threads())
    assert sorted(ran) == ["1", "2"]
    assert made.outcomes.empty()


def test_an_interruption_that_comes_too_late_ends_the_thread_without_a_word(bench: Callable[..., Bench]) -> None:
    """The test run turns an exception that leaves a thread into a failure."""
    for _ in range(30):
        made = bench(3)
        made.slots.submit([job(number) for number in range(6)])
        made.slots.interrupt()
        made.slots.close()
        wait_until(lambda: not made.threads())  # noqa: B023


def test_a_job_that_swallows_the_interruption_ends_with_an_outcome(bench: Callable[..., Bench]) -> None:
    started = threading.Event()

    def stubborn(assigned: Assigned) -> None:
        started.set()
        try:
            spin(assigned)
        except Interrupted:
            return

    made = bench(1, stubborn)
    made.slots.submit([job(1)])
    assert started.wait(5)
    made.slots.interrupt()
    assert made.take(1) == ["1"]


def test_closing_ends_idle_threads(bench: Callable[..., Bench]) -> None:
    gate = threading.Barrier(5)
    made = bench(4, lambda assigned: gate.wait(5) and None)
    made.slots.submit([job(number) for number in range(4)])
    gate.wait(5)
    made.take(4)
    assert len(made.threads()) == 4
    made.slots.close()
    wait_until(lambda: not made.threads())


def test_an_idle_thread_keeps_nothing_of_its_last_job(bench: Callable[..., Bench]) -> None:
    class Precious:
        pass

    made = bench(1)
    precious = Precious()
    reference = weakref.ref(precious)
    made.slots.submit([job(1)._replace(payload={"precious": precious})])
    made.take(1)
    made.slots.started.clear()
    del precious
    wait_until(lambda: made.slots.idle)
    gc.collect()
    assert reference() is None


def test_a_job_that_comes_while_a_thread_goes_to_sleep_is_seen(bench: Callable[..., Bench]) -> None:
    """It was submitted after the thread had looked and before it had announced its sleep: nobody wakes it."""
    made = bench(1)

    class Announced(deque[threading.Lock]):
        def append(self, lock: threading.Lock) -> None:
            if late:
                made.slots.waiting.append(late.pop())
            super().append(lock)

    late = [job("late")]
    made.slots.idle = Announced()
    made.slots.submit([job("first")])
    assert made.take(2) == ["first", "late"]


def test_a_job_taken_while_the_slots_close_does_not_start(bench: Callable[..., Bench]) -> None:
    """It has been put back by then."""
    ran: list[str] = []
    made = bench(1, lambda assigned: ran.append(assigned.jid))

    class Closing(deque[Assigned]):
        def popleft(self) -> Assigned:
            taken = super().popleft()
            made.slots.interrupt()
            return taken

    made.slots.waiting = Closing()
    made.slots.submit([job(1)])
    wait_until(lambda: not made.threads())
    assert ran == []
    assert made.slots.running() == []


def test_when_the_system_has_no_more_threads_those_there_are_do_the_work(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def limited(thread: threading.Thread) -> None:
        if thread.name == "pykiq-bench-2":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    made = bench(5, lambda assigned: time.sleep(0.002))
    made.slots.submit([job(number) for number in range(6)])
    made.slots.submit([job(number) for number in range(6, 12)])
    assert sorted(made.take(12), key=int) == [str(number) for number in range(12)]
    assert len(made.threads()) == 2


def test_what_a_job_sets_in_a_context_variable_is_gone_with_the_job() -> None:
    note: ContextVar[str] = ContextVar("note", default="nothing")
    seen: list[str] = []

    def body(assigned: Assigned) -> None:
        seen.append(note.get())
        note.set("left behind")

    bench = Bench(1, body)
    bench.slots.submit([job(1), job(2)])
    assert bench.take(2) == ["1", "2"]
    bench.slots.close()
    assert seen == ["nothing", "nothing"]


def test_a_job_has_started_when_the_exchange_goes_on(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykiq.worker.slots.PATIENCE", 30.0)
    one = bench(3)
    for number in range(20):
        one.slots.submit([job(2 * number), job(2 * number + 1)])
        assert not one.slots.waiting
        one.take(2)


def test_jobs_for_which_there_is_no_thread_do_not_hold_up_the_exchange(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykiq.worker.slots.PATIENCE", 20.0)
    free, freed = threading.Event(), []
    one = bench(1, lambda assigned: freed.append(assigned.jid == "0" or free.wait(10)))
    one.slots.submit([job(0)])
    assert one.take(1) == ["0"]
    wait_until(lambda: one.slots.idle)
    one.slots.submit([job(1), job(2)])
    one.slots.submit([job(3)])
    assert [assigned.jid for assigned in one.slots.waiting] == ["2", "3"]
    free.set()
    assert one.take(3) == ["1", "2", "3"]
    assert all(freed)

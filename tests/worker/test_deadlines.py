"""Deadlines of `def` handlers: the exception hits the handler, never what comes after it."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from pykiq.errors import Interrupted, JobTimeout, OutOfTime
from pykiq.worker import deadlines as module
from pykiq.worker.deadlines import Deadlines
from tests.servers import wait_until
from tests.worker.stage import threads_here


@pytest.fixture
def deadlines() -> Iterator[Deadlines]:
    made = Deadlines()
    yield made
    made.close()
    wait_until(lambda: not watchers(), what="the watcher's end")


def watchers() -> list[threading.Thread]:
    return [thread for thread in threads_here() if thread.name == "pykiq-deadlines"]


def spin(seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_what_is_in_time_returns_or_raises_its_own(deadlines: Deadlines) -> None:
    assert deadlines.within(10, lambda number: number + 1, 4) == 5
    with pytest.raises(ZeroDivisionError):
        deadlines.within(10, lambda: 1 / 0)


def test_what_runs_too_long_is_broken_off_and_its_traceback_says_where(deadlines: Deadlines) -> None:
    with pytest.raises(JobTimeout, match=r"past its timeout of 0\.02 s") as raised:
        deadlines.within(0.02, spin)
    assert "spin" in [entry.name for entry in raised.traceback]


def test_the_first_deadline_wakes_a_watcher_that_sleeps_towards_a_later_one(deadlines: Deadlines) -> None:
    inside, gate = threading.Event(), threading.Event()
    patient = threading.Thread(target=deadlines.within, args=(60, lambda: (inside.set(), gate.wait(10))))
    patient.start()
    assert inside.wait(5)
    with pytest.raises(JobTimeout):
        deadlines.within(0.02, spin)
    gate.set()
    patient.join(5)


def test_it_can_be_cleaned_up_after_and_is_not_swallowed_by_an_except_of_exceptions(deadlines: Deadlines) -> None:
    cleaned: list[str] = []

    def handler() -> None:
        try:
            with suppress(Exception):
                spin()
            cleaned.append("swallowed")
        except OutOfTime as error:
            cleaned.append(type(error).__name__)
            raise

    with pytest.raises(JobTimeout):
        deadlines.within(0.02, handler)
    assert cleaned == ["OutOfTime"]


def test_a_handler_that_swallows_it_decides_itself(deadlines: Deadlines) -> None:
    def handler() -> str:
        with suppress(Interrupted):
            spin()
        return "saved what there was"

    assert deadlines.within(0.02, handler) == "saved what there was"


def test_a_call_that_blocks_is_followed_by_it(deadlines: Deadlines) -> None:
    woken: list[float] = []

    def handler() -> None:
        time.sleep(0.1)  # one C call
        woken.append(time.monotonic())
        spin()

    begun = time.monotonic()
    with pytest.raises(JobTimeout):
        deadlines.within(0.02, handler)
    assert time.monotonic() - begun >= 0.1


def test_it_never_lands_after_the_handler(deadlines: Deadlines) -> None:
    """Each handler ends close to its deadline, a little before or a little after it, then the thread goes on."""
    ends: list[str] = []  # not counters: without the GIL threads lose each other's additions
    astray: list[BaseException] = []

    def work(number: int) -> None:
        for step in range(60):
            try:
                try:
                    deadlines.within(0.002, spin, 0.0018 + (number * 60 + step) % 40 * 0.00001)
                    ends.append("returned")
                except JobTimeout:
                    ends.append("timed out")
                for _ in range(50):  # the lines after it, and the next job
                    pass
            except BaseException as error:
                astray.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert astray == []
    assert len(ends) == 180


def test_one_that_was_thrown_and_has_not_arrived_is_taken_back(
    deadlines: Deadlines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handler returns at the moment at which the watcher has decided."""
    thrown: list[Any] = []

    def throw(thread: int, error: type[BaseException] | None) -> None:
        thrown.append(error)

    monkeypatch.setattr(module, "_throw", throw)

    def handler() -> str:
        wait_until(lambda: thrown)
        return "done"

    assert deadlines.within(0.01, handler) == "done"
    assert thrown == [OutOfTime, None]


def test_the_thread_does_not_go_on_before_it_has_been_thrown(
    deadlines: Deadlines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watcher has decided, and is slow; the handler returns in the meantime."""
    decided, returned = threading.Event(), threading.Event()
    throw = module._throw

    def slow(thread: int, error: type[BaseException] | None) -> None:
        if error is not None:
            decided.set()
            returned.wait(5)
            time.sleep(0.01)
        throw(thread, error)

    def handler() -> str:
        assert decided.wait(5)
        returned.set()
        return "done"

    monkeypatch.setattr(module, "_throw", slow)
    assert deadlines.within(0.01, handler) == "done"
    spin(0.03)


def test_a_limit_beyond_every_clock_is_none(deadlines: Deadlines) -> None:
    assert deadlines.within(1e300, lambda: 1) == 1
    assert deadlines.within(float("inf"), lambda: 2) == 2
    assert len(watchers()) == 1


def test_nobody_watches_before_there_is_a_deadline() -> None:
    made = Deadlines()
    made.close()
    assert watchers() == []


def test_a_watcher_that_could_not_be_started_is_started_for_the_next(
    deadlines: Deadlines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            deadlines.within(0.02, spin)
    with pytest.raises(JobTimeout):
        deadlines.within(0.02, spin)


def test_nothing_of_the_handler_is_kept_alive(deadlines: Deadlines) -> None:
    class Precious:
        pass

    references: list[weakref.ref[Precious]] = []

    def handler() -> None:
        precious = Precious()
        references.append(weakref.ref(precious))
        spin()

    gc.collect()
    gc.disable()
    try:
        with suppress(JobTimeout):
            deadlines.within(0.02, handler)
        assert references[0]() is None
    finally:
        gc.enable()

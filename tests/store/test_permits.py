"""Permits: first come, first served; and however a thread that has or wants one is stopped, none is ever lost."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import pytest
import redis as redis_py

from pykiq.store import permits, pool
from pykiq.store.permits import Permit, Permits, _Waiter
from pykiq.store.pool import Pool
from tests.servers import wait_until

FILES = {permits.__file__, pool.__file__}
LONG = 30.0  # seconds: nothing here takes as long


class Idle(redis_py.Connection):
    """A connection that leads nowhere."""

    def connect(self) -> None: ...

    def disconnect(self, *_: object) -> None: ...

    def can_read(self, *_: object, **__: object) -> bool:
        return False


class Stopped(BaseException):
    """As OutOfTime, which comes between any two instructions of a handler's thread."""


@contextmanager
def stopping(after: int) -> Iterator[list[int]]:
    """Raise Stopped before the instruction after the next `after` ones of the pool; what is yielded counts them."""
    seen = [0]

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in FILES:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            seen[0] += 1
            if seen[0] > after:
                raise Stopped
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield seen
    finally:
        sys.settrace(before)


def all_of(permits: Permits, count: int) -> list[Permit]:
    taken = [permit for _ in range(count + 1) if (permit := permits.take()) is not None]
    assert len({id(permit) for permit in taken}) == count
    return taken


class Waiting:
    """Threads that wait for a permit each, one after the other, and the order in which they got one."""

    def __init__(self, permits: Permits, count: int, seconds: float = LONG) -> None:
        self.permits = permits
        self.served: list[int] = []
        self.got: dict[int, Permit | None] = {}
        self._threads = []
        for number in range(count):
            thread = threading.Thread(target=self._wait, args=(number, seconds), daemon=True)
            self._threads.append(thread)
            thread.start()
            wait_until(lambda due=number + 1: len(permits._waiting) == due, 10, "a thread in the line")  # type: ignore[misc]

    def _wait(self, number: int, seconds: float) -> None:
        self.got[number] = self.permits.wait(seconds)
        self.served.append(number)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(LONG)
            assert not thread.is_alive()


def test_whoever_waits_longest_is_served_first() -> None:
    permits = Permits(1)
    (permit,) = all_of(permits, 1)
    waiting = Waiting(permits, 4)
    for number in range(4):
        permits.put(permit)
        wait_until(lambda due=number + 1: len(waiting.served) == due, 10, "the next one served")  # type: ignore[misc]
    assert waiting.served == [0, 1, 2, 3]
    assert set(waiting.got.values()) == {permit}
    waiting.join()


def test_nobody_passes_those_who_wait() -> None:
    permits = Permits(2)
    first, second = all_of(permits, 2)
    waiting = Waiting(permits, 1)
    permits._lay_down(first)  # as between the two steps of `put`
    assert permits.take() is None
    permits._hand_out()
    waiting.join()
    assert waiting.got == {0: first}
    permits.put(second)
    assert permits.take() is second


def test_a_permit_with_a_connection_goes_out_before_those_without_and_the_last_one_back_first() -> None:
    permits = Permits(3)
    bare, one, another = all_of(permits, 3)
    one.connection, another.connection = object(), object()
    for permit in (one, another, bare):
        permits.put(permit)
    assert [permits.take() for _ in range(3)] == [another, one, bare]


def test_who_has_waited_in_vain_leaves_the_line_and_takes_nothing_along() -> None:
    permits = Permits(1)
    (permit,) = all_of(permits, 1)
    assert permits.wait(0.01) is None
    assert not permits._waiting
    permits.put(permit)
    assert all_of(permits, 1) == [permit]


def test_a_permit_that_is_given_to_one_who_has_just_left_goes_to_the_next() -> None:
    permits = Permits(1)
    taken = all_of(permits, 1)
    gone = _Waiter()
    gone.give(taken.pop())
    assert permits.take() is None
    del gone
    assert len(all_of(permits, 1)) == 1


def test_a_permit_that_was_dropped_comes_back_without_its_connection() -> None:
    permits = Permits(2)
    taken = all_of(permits, 2)
    taken[0].connection = object()
    del taken
    assert [permit.connection for permit in all_of(permits, 2)] == [None, None]


def test_permits_do_not_outlive_their_pool() -> None:
    permits = Permits(2)
    (kept, _) = all_of(permits, 2)
    del permits
    assert kept.home() is None


def each_stop(work: Callable[[], object], check: Callable[[], object]) -> int:
    """Do `work` again and again, stopped one instruction later each time, and `check` after each. How often it was."""
    with stopping(sys.maxsize):  # Python 3.12 tells of no instruction when it traces a function for the first time
        work()
    check()
    for after in range(5000):
        # In a thread of its own: what is raised at the end of an `except` leaves that one's error with its thread.
        with ThreadPoolExecutor(1) as own:
            seen = own.submit(_stopped, work, after).result()
        check()
        if seen <= after:
            return after
    raise AssertionError("there is no end to it")


def _stopped(work: Callable[[], object], after: int) -> int:
    with suppress(Stopped), stopping(after) as seen:
        work()
    return seen[0]


@pytest.mark.parametrize("connected", [False, True])
def test_a_thread_that_is_stopped_anywhere_in_the_pool_takes_no_connection_away(connected: bool) -> None:
    made = Pool(connection_class=Idle, max_connections=2, protocol=2)
    made.patience = 0.0

    def use() -> None:
        made.release(made.get_connection())

    def check() -> None:
        one, other = made.get_connection(), made.get_connection()
        assert one is not other
        with pytest.raises(redis_py.exceptions.MaxConnectionsError):
            made.get_connection()
        made.release(one)
        made.release(other)
        if not connected:
            made.reset()

    if connected:
        check()
    assert each_stop(use, check) > 50


def test_whoever_is_stopped_while_giving_back_lets_the_next_one_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permits, "LOOK_AGAIN", 0.005)
    line = Permits(1)

    def give_back() -> None:
        line.put(taken.pop())

    def check() -> None:
        waiting.join()
        assert waiting.got[0] is not None
        waiting.got.clear()
        prepare()

    def prepare() -> None:
        nonlocal waiting
        taken[:] = all_of(line, 1)
        waiting = Waiting(line, 1)

    taken: list[Permit] = []
    waiting: Any = None
    prepare()
    assert each_stop(give_back, check) > 30
    waiting.permits.put(taken.pop())
    waiting.join()


def test_whoever_is_stopped_while_waiting_takes_nothing_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permits, "LOOK_AGAIN", 0.001)
    line = Permits(1)

    def wait() -> None:
        giver = threading.Timer(0.002, lambda: line.put(taken.pop()))
        giver.start()
        try:
            permit = line.wait(LONG)
            assert permit is not None
            line.put(permit)
        finally:
            giver.join()

    def check() -> None:
        taken[:] = all_of(line, 1)

    taken: list[Permit] = []
    check()
    assert each_stop(wait, check) > 50

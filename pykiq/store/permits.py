"""The permits of a pool that threads share: whoever has one may use a connection. First come, first served.

There is no lock that a fork, a signal handler or a finalizer could meet locked: every step is one of a deque, with and
without the GIL. Nor can a permit be lost. A handler that is out of time is stopped between any two lines, also of this
file, and what is dropped there comes back by itself: as a permit that nobody refers to any more.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from contextlib import suppress
from typing import Any

LOOK_AGAIN = 0.5  # seconds: a handler that is out of time is stopped at its next line, so it has to come to one


class Permit:
    """The right to use one connection. While it is idle it has that connection, or None before there is one."""

    __slots__ = ("__weakref__", "connection", "home", "thread")

    def __init__(self, home: weakref.ref[Permits]) -> None:
        self.home = home
        self.connection: Any = None
        self.thread = 0  # identifier of the thread that has it

    def __del__(self) -> None:
        home = self.home()
        if home is not None:
            home.put(Permit(self.home))


class Permits:
    """`count` of them. Those with a connection go out before those without, and of them the last one to come back."""

    def __init__(self, count: int) -> None:
        mine: weakref.ref[Permits] = weakref.ref(self)
        self._free: deque[Permit] = deque()
        self._waiting: deque[weakref.ref[_Waiter]] = deque()
        self._free.extend([Permit(mine) for _ in range(count)])

    def take(self) -> Permit | None:
        """One that is free; None when there is none, or when others have waited for longer."""
        if self._waiting:
            return None
        try:
            return self._free.pop()
        except IndexError:
            return None

    def take_all(self) -> list[Permit]:
        """All that are free. Whoever asks meanwhile waits until they are back."""
        taken = []
        while self._free:
            with suppress(IndexError):
                taken.append(self._free.pop())
        return taken

    def wait(self, seconds: float) -> Permit | None:
        """The one that comes back when this thread's turn has come; None when it has not, after `seconds`."""
        until = time.monotonic() + seconds
        waiter = _Waiter()
        place = weakref.ref(waiter)
        try:
            self._waiting.append(place)
            self._hand_out()
            while not waiter.given and (left := until - time.monotonic()) > 0:
                if not waiter.bell.acquire(timeout=min(left, LOOK_AGAIN)):
                    if place not in self._waiting:  # who was about to hand it one has been stopped
                        self._waiting.appendleft(place)
                    self._hand_out()
            return waiter.given.popleft() if waiter.given else None
        finally:
            with suppress(ValueError):  # not there any more: it has been given one
                self._waiting.remove(place)
            while waiter.given:
                self.put(waiter.given.popleft())

    def put(self, permit: Permit) -> None:
        """Take one back, for whoever has waited longest."""
        self._lay_down(permit)
        if self._waiting:
            self._hand_out()

    def _lay_down(self, permit: Permit) -> None:
        if permit.connection is None:
            self._free.appendleft(permit)
        else:
            self._free.append(permit)

    def _hand_out(self) -> None:
        """Give what is free to those who wait.

        Whoever adds to the one side or the other does this afterwards, and whoever has put something back looks again:
        so the last one of them sees both.
        """
        while self._waiting and self._free:
            with suppress(IndexError):  # another thread has taken the last one
                permit = self._free.pop()
                try:
                    waiter = self._waiting.popleft()()
                except IndexError:
                    waiter = None
                if waiter is None:
                    self._lay_down(permit)
                else:
                    waiter.give(permit)


class _Waiter:
    """A thread that waits. The line refers to it weakly: a permit that is given to one who is gone comes back."""

    __slots__ = ("__weakref__", "bell", "given")

    def __init__(self) -> None:
        self.bell = threading.Lock()
        self.bell.acquire()
        self.given: deque[Permit] = deque()

    def give(self, permit: Permit) -> None:
        self.given.append(permit)
        with suppress(RuntimeError):  # it has been rung already
            self.bell.release()

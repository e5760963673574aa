"""Deadlines: `timeout` for `def` handlers. A coroutine can be cancelled; into a thread an exception can be thrown.

Python raises such an exception when the thread next runs Python code: a call that blocks in C is not broken off, it is
followed by the exception. One thread watches all deadlines of a process; it starts with the first of them.

The exception must hit the handler and nothing else: not the lines after it, and not the thread's next job. Each
execution is one entry of a dict, and whoever pops it decides. If the thread that ran the handler does, nothing will
come. If the watcher does, the thread waits until the exception has been thrown, and takes it back if it has not arrived
by then. It is thrown once at the most: when it has arrived, wherever that was, it is over.
"""

from __future__ import annotations

import asyncio
import ctypes
import math
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

from pykiq.errors import JobTimeout, OutOfTime

T = TypeVar("T")

LONGEST_SLEEP = 3600.0  # seconds: a system's clock cannot wait for every number that a payload may hold


class _Execution:
    """One execution of a handler. `at` is monotonic; `thread` is the number of the thread that runs it."""

    __slots__ = ("at", "thread", "thrown")

    def __init__(self, thread: int, at: float) -> None:
        self.thread = thread
        self.at = at
        self.thrown = False


class Deadlines:
    """Ends what runs too long on threads."""

    def __init__(self) -> None:
        self._running: dict[_Execution, bool] = {}
        self._bell = threading.Lock()
        self._bell.acquire()
        self._until = math.inf  # monotonic: how long the watcher sleeps
        self._closed = False
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def within(self, limit: float, call: Callable[..., T], *args: Any) -> T:
        """What `call(*args)` returns. Raises JobTimeout when it is still running after `limit` seconds.

        Inside of `call` that is an OutOfTime; if it is caught there and not raised again, nothing is raised here.
        """
        if self._thread is None:
            self._start()
        execution = _Execution(threading.get_ident(), time.monotonic() + limit)
        returned: Any = None
        ended = False
        try:
            try:
                self._begin(execution)
                returned = call(*args)
                ended = True
            finally:
                self._end(execution)
        except OutOfTime as error:
            if not ended:  # else it has arrived while `_end` waited for it
                message = f"the job ran past its timeout of {limit:g} s and was interrupted"
                raise JobTimeout(message).with_traceback(error.__traceback__) from None
        return cast(T, returned)

    def close(self) -> None:
        """End the watcher."""
        self._closed = True
        self._ring()

    def _begin(self, execution: _Execution) -> None:
        self._running[execution] = True
        if execution.at < self._until:  # the watcher sleeps longer than that, or it is just looking
            self._ring()

    def _ring(self) -> None:
        with suppress(RuntimeError):  # it has been rung already
            self._bell.release()

    def _end(self, execution: _Execution) -> None:
        if not self._running.pop(execution, False):
            while not execution.thrown:
                time.sleep(0.0001)
            _throw(execution.thread, None)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                thread = threading.Thread(target=self._watch, name="pykiq-deadlines", daemon=True)
                thread.start()  # raises when the system has no thread left: the next job with a deadline tries again
                self._thread = thread

    def _watch(self) -> None:
        while not self._closed:
            self._until = math.inf  # before the look: who begins behind its back rings
            now = time.monotonic()
            for execution in list(self._running):
                if execution.at <= now and self._running.pop(execution, False):
                    _throw(execution.thread, OutOfTime)
                    execution.thrown = True
            self._until = min((one.at for one in list(self._running)), default=math.inf)
            self._bell.acquire(timeout=min(max(self._until - time.monotonic(), 0.0), LONGEST_SLEEP))


async def awithin(limit: float, work: Awaitable[Any]) -> None:
    """Await `work`, which is cancelled when it takes longer than `limit` seconds. Raises JobTimeout then."""
    bound = asyncio.timeout(limit)
    try:
        async with bound:
            await work
    except TimeoutError:
        if not bound.expired():
            raise  # the handler's own
        raise JobTimeout(f"the job ran past its timeout of {limit:g} s and was cancelled") from None


def _throw(thread: int, error: type[BaseException] | None) -> None:
    """Raise `error` in a thread when it next runs Python code; None takes back what has not been raised yet."""
    thrown = ctypes.py_object() if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), thrown)

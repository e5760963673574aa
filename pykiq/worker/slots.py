"""Slots: where handlers run. Threads for `def`, an event loop in its own thread for `async def`.

Slots know nothing of Redis. Jobs come through a deque, outcomes leave through the exchange's inbox; or `done`, on the
slot's thread, settles the job where that is cheaper, and may bring the next. More jobs may wait here than there are
slots: the look-ahead. `size` of them run at a time, and those that wait can be recalled.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context

from pykiq.errors import Interrupted
from pykiq.logger import get_logger
from pykiq.records import Assigned, Outcome, Started
from pykiq.worker import fork

FEW = 3  # jobs: a thread that has just been woken gets to so few before the exchange needs the interpreter's lock again
GLANCE = 0.0001  # seconds between two looks whether they have been taken
PATIENCE = 0.001  # seconds: where threads need longer than that to get going, the exchange has its turn

log = get_logger()

Running = tuple[int, Assigned, float]  # a number for the thread or task, its job, its start (epoch s)


class ThreadSlots:
    """Threads that run `def` handlers, made when first needed."""

    def __init__(
        self, size: int, run: Callable[[Assigned], Outcome], done: Callable[[Outcome], Assigned | None], name: str = ""
    ) -> None:
        self.run = run
        self.done = done
        self.waiting: deque[Assigned] = deque()
        self.started: deque[Started] = deque()
        self.idle: deque[threading.Lock] = deque()
        self.waking = False  # a thread has been woken and is not there yet
        self.closed = False
        self.forked = False  # this is a process that a handler has forked
        self._size = size
        self._name = name
        self._slots: list[Slot] = []
        fork.watch(self)

    def submit(self, batch: Sequence[Assigned], *, give_way: bool = True) -> None:
        """Give jobs to idle threads and to new ones; those beyond `size` wait.

        `give_way` is for who goes on working instead of going to sleep: the first few jobs begin before it does.
        """
        self.waiting.extend(batch)
        waiting, free = len(self.waiting), len(self.idle)
        while free < waiting and len(self._slots) < self._size and self._grow():
            free += 1
        self.wake_one()
        left = max(waiting - free, 0)  # jobs that no thread is free for
        if give_way and left < len(self.waiting) < left + FEW:
            self._give_way(left)

    def wake_one(self) -> None:
        """Wake an idle thread, unless one is on its way.

        The one that is woken wakes the next when it has found a job and there is another, and so on. To wake all of
        them at once costs more than ten jobs when the first to arrive has done everything before the others are there.
        """
        if self.idle and not self.waking:
            self.waking = True
            try:
                self.idle.pop().release()
            except IndexError:  # the last idle thread has found a job by itself
                self.waking = False

    def _give_way(self, left: int) -> None:
        """Let go of the interpreter's lock until no more than `left` jobs wait.

        A thread that has been woken up needs a while to get here. If the turn went on meanwhile it would find the lock
        taken, and taken again each time the turn has let go of it for a system call: one job in twenty started half a
        millisecond late. `sleep(0)` is not enough: how long it sleeps depends on the Python.
        """
        until = time.monotonic() + PATIENCE
        while len(self.waiting) > left and time.monotonic() < until:
            time.sleep(GLANCE)

    def _grow(self) -> bool:
        """Make one more thread. When the system has none left, those there are do the work; with none it raises."""
        try:
            self._slots.append(Slot(f"pykiq-{self._name}{len(self._slots)}", self))
        except RuntimeError as error:
            if not self._slots:
                raise
            self._size = len(self._slots)
            log.error("no_more_threads", error=str(error), threads=self._size, next="lower --concurrency")
            return False
        return True

    def running(self) -> list[Running]:
        """What runs now."""
        return [now for slot in self._slots if (now := slot.running()) is not None]

    def interrupt(self) -> None:
        """Raise Interrupted inside every running job, and start no other. It arrives at the next Python code."""
        self.closed = True
        for slot in self._slots:
            slot.interrupt()

    def close(self) -> None:
        """Let idle threads end."""
        self.closed = True
        while self.idle:
            with suppress(IndexError, RuntimeError):  # an interrupted thread may have announced its sleep twice
                self.idle.pop().release()


class Slot:
    """One thread that runs jobs one after the other."""

    def __init__(self, name: str, slots: ThreadSlots) -> None:
        self._slots = slots
        self._current: Started | None = None
        self._wake = threading.Lock()
        self._wake.acquire()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def running(self) -> Running | None:
        """This thread's number, its job and its start; None when idle."""
        current = self._current
        return None if current is None else (self._thread.ident or 0, *current)

    def interrupt(self) -> None:
        """Raise Interrupted in the job that runs now, if one does."""
        if self._current is not None:
            ident = ctypes.c_ulong(self._thread.ident or 0)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(Interrupted))

    def _work(self) -> None:
        with suppress(Interrupted):  # it arrived between two lines of the loop: the process stops anyway
            self._serve()

    def _serve(self) -> None:
        slots = self._slots
        take, started, run, done, clock = slots.waiting.popleft, slots.started.append, slots.run, slots.done, time.time
        fresh = copy_context().copy  # what a job sets in context variables (a logger's, say) is gone with the job
        following: Assigned | None = None
        while not slots.closed:
            try:
                try:
                    assigned = following or take()
                except IndexError:
                    self._sleep()
                    continue
                current = self._current = (assigned, clock())
                if slots.closed:  # asked after `_current` is set: who closes looks there, so one of both sees the other
                    break
                started(current)
                if slots.waiting:
                    slots.wake_one()
                outcome = fresh().run(run, assigned)
                if slots.forked:
                    fork.leave(outcome)
                self._current = None
                following = done(outcome)
                del outcome, assigned, current  # an idle thread must not keep the last job's payload alive
            except Interrupted:
                self._current = following = None  # the shutdown has put this job back already, or it had just ended
        self._current = None

    def _sleep(self) -> None:
        """Sleep until there are jobs. The sleep is announced before the last look, so that none is missed."""
        slots = self._slots
        slots.idle.append(self._wake)
        if slots.waiting or slots.closed:
            try:
                slots.idle.remove(self._wake)
            except ValueError:
                pass  # somebody has taken it to wake this thread
            else:
                return
        self._wake.acquire()
        slots.waking = False

"""Slots: where handlers run. Threads for `def`, one event loop in its own thread for `async def`.

Slots know nothing of Redis and touch no file descriptor: a finished job is an Outcome put into the exchange's inbox.
How many jobs may run at a time is the exchange's to keep; a thread is made when a job finds none idle.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
import time
from collections.abc import Awaitable, Callable
from queue import SimpleQueue
from typing import Any

from pykiq.errors import Interrupted
from pykiq.records import Assigned, Outcome


class Slot:
    """One thread that runs jobs one after the other. `current` is the job it runs, with its start (epoch s)."""

    def __init__(self, number: int, slots: ThreadSlots) -> None:
        self.current: tuple[Assigned, float] | None = None
        self._slots = slots
        self.thread = threading.Thread(target=self._work, name=f"pykiq-{number}", daemon=True)
        self.thread.start()

    def _work(self) -> None:
        slots = self._slots
        while True:
            try:
                assigned = slots.jobs.get()
            except Interrupted:
                continue  # it was meant for a job that ended just before
            if assigned is None:
                return
            try:
                self.current = (assigned, time.time())
                outcome = slots.run(assigned)
                self.current = None
                slots.done(outcome)
                del outcome
            except Interrupted:
                self.current = None  # the shutdown has put this job back already
            del assigned  # an idle thread must not keep the last job's payload alive


class ThreadSlots:
    """Threads that run `def` handlers."""

    def __init__(self, run: Callable[[Assigned], Outcome], done: Callable[[Outcome], None]) -> None:
        self.run = run
        self.done = done
        self.jobs: SimpleQueue[Assigned | None] = SimpleQueue()
        self._busy = 0  # jobs submitted and not yet released; only the exchange's thread counts
        self._slots: list[Slot] = []

    def submit(self, assigned: Assigned) -> None:
        """Hand a job to an idle thread, or to a new one."""
        self._busy += 1
        if self._busy > len(self._slots):
            self._slots.append(Slot(len(self._slots), self))
        self.jobs.put(assigned)

    def release(self) -> None:
        """A submitted job has been seen to end: its thread is idle, or will be before it is needed."""
        self._busy -= 1

    def running(self) -> list[tuple[int, Assigned, float]]:
        """Thread number, job and start of what runs now."""
        found = []
        for slot in self._slots:
            current = slot.current
            if current is not None and slot.thread.ident is not None:
                found.append((slot.thread.ident, *current))
        return found

    def interrupt(self) -> None:
        """Raise Interrupted inside every running job. It arrives when the thread next runs Python code."""
        for slot in self._slots:
            if slot.current is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(slot.thread.ident or 0), ctypes.py_object(Interrupted)
                )

    def close(self) -> None:
        """Let idle threads end."""
        for _ in self._slots:
            self.jobs.put(None)


class LoopSlots:
    """One event loop in its own thread that runs `async def` handlers."""

    def __init__(self, arun: Callable[[Assigned], Awaitable[Outcome]], done: Callable[[Outcome], None]) -> None:
        self._arun = arun
        self._done = done
        self._tasks: dict[asyncio.Task[None], tuple[Assigned, float]] = {}
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="pykiq-async", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.close()

    def submit(self, assigned: Assigned) -> None:
        """Start a job on the loop."""
        self.loop.call_soon_threadsafe(self._start, assigned)

    def _start(self, assigned: Assigned) -> None:
        task = self.loop.create_task(self._run(assigned), name=f"pykiq {assigned.jid}")
        self._tasks[task] = (assigned, time.time())
        task.add_done_callback(self._forget)

    async def _run(self, assigned: Assigned) -> None:
        self._done(await self._arun(assigned))

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled():
            task.exception()  # retrieved: it is an Interrupted or a SystemExit that `arun` let pass

    def running(self) -> list[tuple[int, Assigned, float]]:
        """A number for the task, job and start of what runs now."""
        return [(id(task), *started) for task, started in tuple(self._tasks.items())]

    def tasks(self) -> list[asyncio.Task[None]]:
        """The tasks that run now, for a dump of their stacks."""
        return list(self._tasks)

    def interrupt(self) -> None:
        """Cancel every running job."""
        for task in tuple(self._tasks):
            self.loop.call_soon_threadsafe(task.cancel)

    def close(self) -> None:
        """End the loop and its thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(1.0)

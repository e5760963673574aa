"""Slots for `async def` handlers: tasks on one event loop that runs in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import Context

from pykiq.logger import get_logger
from pykiq.records import Assigned, Outcome, Started
from pykiq.wire.failure import describe
from pykiq.worker import fork
from pykiq.worker.slots import Running

LAST_STEPS = 1.0  # seconds for what still runs on the loop when it closes

log = get_logger()


class LoopThread:
    """The event loop of a process, started when first asked for."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @property
    def started(self) -> bool:
        return self._loop is not None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop."""
        return self._loop or self.start()

    def start(self) -> asyncio.AbstractEventLoop:
        """Start it. Raises OSError and RuntimeError when there is no descriptor or no thread for it."""
        loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, args=(loop,), name="pykiq-async", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            loop.close()
            raise
        self._loop = loop
        return loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        while not self._closed:
            try:
                loop.run_forever()
            except BaseException as error:
                # asyncio lets SystemExit and KeyboardInterrupt of any task end the loop, and a task that a handler has
                # started on its own may raise them: every other job would hang.
                log.error("event_loop_left", error=repr(describe(error)), next="it goes on")
        with suppress(BaseException):
            loop.run_until_complete(_end_tasks())
        loop.close()

    def close(self) -> None:
        """End the loop and its thread."""
        if self._loop is not None:
            self._closed = True
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(LAST_STEPS + 1.0)


async def _end_tasks() -> None:
    """Cancel what is left, such as tasks that handlers started and never awaited, and let it clean up."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=LAST_STEPS)
    await asyncio.get_running_loop().shutdown_asyncgens()


class LoopSlots:
    """Runs up to `size` `async def` handlers at a time on the loop; the rest of what it is given waits."""

    def __init__(
        self,
        size: int,
        thread: LoopThread,
        arun: Callable[[Assigned], Awaitable[Outcome]],
        done: Callable[[Outcome], None],
    ) -> None:
        self.waiting: deque[Assigned] = deque()
        self.started: deque[Started] = deque()
        self._size = size
        self._thread = thread
        self._arun = arun
        self._done = done
        self.forked = False  # this is a process that a handler has forked
        self._made = 0  # tasks made and not ended
        self._running: dict[asyncio.Task[None], Started] = {}
        fork.watch(self)

    def submit(self, batch: Sequence[Assigned]) -> None:
        """Start jobs on the loop as slots are free."""
        self.waiting.extend(batch)
        self._thread.loop.call_soon_threadsafe(self._fill)

    def _fill(self) -> None:
        on_their_way = self._made - len(self._running)
        for _ in range(min(len(self.waiting) - on_their_way, self._size - self._made)):
            self._made += 1
            # A context of its own: this may run at the end of another job, and what that has set is gone with it.
            task = self._thread.loop.create_task(self._serve(), context=Context())
            task.add_done_callback(self._never_began)

    async def _serve(self) -> None:
        """Run one job. It is taken here, in the task's first step: one that is cancelled before has taken none."""
        task = asyncio.current_task()
        if task is None:
            return
        # From here on the end is dealt with below: to hear of it through the loop costs as much as a job without work.
        task.remove_done_callback(self._never_began)
        try:
            if not self._size:  # interrupted in the meantime
                return
            try:
                assigned = self.waiting.popleft()
            except IndexError:  # what waited has been recalled
                return
            self._running[task] = started = (assigned, time.time())
            self.started.append(started)
            outcome = await self._arun(assigned)
            if self.forked:
                fork.leave(outcome)
            self._done(outcome)
        except BaseException:
            task.add_done_callback(_dealt_with)
            raise
        finally:
            self._running.pop(task, None)
            self._made -= 1
            self._fill()

    def _never_began(self, task: asyncio.Task[None]) -> None:
        """A task was cancelled before its first step."""
        self._made -= 1
        self._fill()

    def running(self) -> list[Running]:
        """What runs now."""
        # A copy is one step; going through what the loop changes meanwhile fails without an interpreter's lock.
        return [(id(task), *started) for task, started in self._running.copy().items()]

    def tasks(self) -> list[asyncio.Task[None]]:
        """The tasks that run now, named after their jobs, for a dump of their stacks."""
        running = self._running.copy()
        for task, (assigned, _) in running.items():
            task.set_name(f"pykiq {assigned.jid}")
        return list(running)

    def interrupt(self) -> None:
        """Cancel every running job, and start no other."""
        if self._thread.started:
            with suppress(RuntimeError):  # the loop has just been closed
                self._thread.loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        self._size = 0
        for task in tuple(self._running):
            task.cancel()


def _dealt_with(task: asyncio.Task[None]) -> None:
    """An error that `arun` let pass is no news to anybody: have asyncio not tell of it."""
    if not task.cancelled():
        task.exception()

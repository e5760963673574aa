"""`fake`, `inline` and `disable`: what becomes of pushes inside a block."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pykiq.client.diversion import divert
from pykiq.errors import Discard, Snooze
from pykiq.jobs import inline as running
from pykiq.jobs.context import JobContext
from pykiq.jobs.handler import Handler
from pykiq.jobs.registry import registry
from pykiq.store.push import PushBatch
from pykiq.testing.jobs import Jobs
from pykiq.testing.memory import Memory
from pykiq.wire import payload
from pykiq.worker.loopslots import LoopThread


@contextmanager
def fake() -> Iterator[Jobs]:
    """Keep pushes in memory instead of Redis, for this block and whatever it calls, in any thread or task.

    with pykiq.testing.fake() as jobs: ...
    """
    memory, loop = Memory(), LoopThread()
    try:
        with divert(_Keeping(memory)):
            yield Jobs(memory, loop)
    finally:
        loop.close()


@contextmanager
def inline() -> Iterator[Jobs]:
    """Run each job while it is pushed, scheduled ones too, inside the server middleware.

    What the job raises, the push raises: there are no retries and no hooks of failures, which is what `fake` and
    `drain` are for. Discard and Snooze end a job without an error. Jobs of classes without a handler in this program
    are kept in the `jobs` of the block.
    """
    memory, loop = Memory(), LoopThread()
    try:
        with divert(_Running(memory, loop)):
            yield Jobs(memory, loop)
    finally:
        loop.close()


@contextmanager
def disable() -> Iterator[None]:
    """Push to Redis, inside of a block of `fake` or `inline`."""
    with divert(None):
        yield


class _Keeping:
    """The sink of `fake`."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def take(self, batches: Sequence[PushBatch]) -> None:
        self._memory.push(batches)

    async def atake(self, batches: Sequence[PushBatch]) -> None:
        self._memory.push(batches)


class _Running:
    """The sink of `inline`."""

    def __init__(self, memory: Memory, loop: LoopThread) -> None:
        self._memory = memory
        self._loop = loop

    def take(self, batches: Sequence[PushBatch]) -> None:
        for handler, context in self._taken(batches):
            if handler.is_async:
                # On a loop of its own, whether one runs in this thread or not: the verb waits for the job.
                asyncio.run_coroutine_threadsafe(_arun(handler, context), self._loop.loop).result()
            else:
                _run(handler, context)

    async def atake(self, batches: Sequence[PushBatch]) -> None:
        for handler, context in self._taken(batches):
            if handler.is_async:
                await _arun(handler, context)
            else:
                await asyncio.to_thread(_run, handler, context)

    def _taken(self, batches: Sequence[PushBatch]) -> Iterator[tuple[Handler, JobContext]]:
        """The jobs to run; the others stay in memory."""
        for job in self._memory.push(batches):
            handler = registry.get(job.job_class)
            if handler is not None:
                self._memory.take(job)
                yield handler, JobContext(payload.parse(job.raw), job.queue)


def _run(handler: Handler, context: JobContext) -> None:
    try:
        running.run(handler, context)
    except (Discard, Snooze):
        return


async def _arun(handler: Handler, context: JobContext) -> None:
    try:
        await running.arun(handler, context)
    except (Discard, Snooze):
        return

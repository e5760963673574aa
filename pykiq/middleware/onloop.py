"""Asynchronous middleware: awaited in place, or driven from a thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextvars import ContextVar, copy_context
from typing import Any, TypeVar, cast

T = TypeVar("T")

_home: ContextVar[asyncio.AbstractEventLoop | None] = ContextVar("pykiq_home", default=None)
"""The loop on which somebody awaits the push that is being built in this thread."""


async def away_from_the_loop(build: Callable[[], T]) -> T:
    """What `build` returns, which may block: it runs in a thread, and the coroutines it meets run on this loop."""
    before = _home.set(asyncio.get_running_loop())
    try:
        return await in_a_thread(build)
    finally:
        _home.reset(before)


def run_to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns, waited for by this thread.

    On the loop of whoever awaits the push, else on a loop of its own: this thread may have one that runs.
    """
    home = _home.get()
    if home is not None:
        return asyncio.run_coroutine_threadsafe(work, home).result()
    return _started(lambda: asyncio.run(work)).result()


async def in_a_thread(function: Callable[[], T]) -> T:
    """Await what `function` returns in a thread of its own, with this context.

    Not one of the loop's: those are few, and one that waits here for a function that waits for another one, in turn,
    would wait for ever when all of them do.
    """
    return await asyncio.wrap_future(_started(function))


def _started(function: Callable[[], T]) -> concurrent.futures.Future[T]:
    ended: concurrent.futures.Future[T] = concurrent.futures.Future()

    def run() -> None:
        if not ended.set_running_or_notify_cancel():
            return
        try:
            ended.set_result(function())
        except BaseException as error:
            ended.set_exception(error)

    threading.Thread(target=copy_context().run, args=(run,), name="pykiq-push", daemon=True).start()
    return ended


async def start(steps: AsyncGenerator[Any, Any]) -> bool:
    """Run up to the `yield`. False when there was none."""
    try:
        await anext(steps)
    except StopAsyncIteration:
        return False
    return True


async def finish(steps: AsyncGenerator[Any, Any], result: Any, error: BaseException | None) -> BaseException | None:
    """Run the rest. Returns the error that goes on outwards, None when there is none (any more)."""
    try:
        if error is None:
            await steps.asend(result)
        else:
            await steps.athrow(error)
    except StopAsyncIteration:
        return None
    except RuntimeError as raised:
        if isinstance(error, (StopIteration, StopAsyncIteration)) and raised.__cause__ is error:
            return error
        return raised
    except BaseException as raised:
        return raised
    finally:
        error = None  # the error's traceback holds this frame: holding the error in turn would keep both alive
    await steps.aclose()
    name = cast(Any, steps).__qualname__
    return RuntimeError(f"server middleware `{name}` yielded twice; expected one `yield`, where the job runs")


class LoopSpan:
    """An asynchronous generator around a job that runs in this thread.

    One task on the loop runs the whole generator, waiting at its `yield` for this thread: with a task per step, a
    context variable set before the `yield` could not be reset after it, and `asyncio.timeout` around it would break.
    """

    def __init__(self, steps: AsyncGenerator[Any, Any], loop: asyncio.AbstractEventLoop | None) -> None:
        self._steps = steps
        self._loop = loop
        self._runner: asyncio.Runner | None = None
        self._entered: concurrent.futures.Future[bool] = concurrent.futures.Future()
        self._done: concurrent.futures.Future[BaseException | None] | None = None
        self._resume: asyncio.Future[tuple[Any, BaseException | None]] | None = None

    def enter(self) -> bool:
        """Run up to the `yield`. False when there was none."""
        if self._loop is None:
            self._runner = asyncio.Runner()
            entered = False
            try:
                entered = self._runner.run(start(self._steps))
            finally:
                if not entered:
                    self._runner.close()
            return entered
        self._done = asyncio.run_coroutine_threadsafe(self._whole(), self._loop)
        try:
            return self._entered.result()
        except BaseException:
            self._done.cancel()  # interrupted at the shutdown deadline: nobody will come to resume the task
            raise

    def leave(self, result: Any, error: BaseException | None) -> BaseException | None:
        """Run the rest. Returns the error that goes on outwards, None when there is none (any more)."""
        if self._runner is not None:
            with self._runner as runner:
                return runner.run(finish(self._steps, result, error))
        assert self._loop is not None
        assert self._resume is not None
        assert self._done is not None
        self._loop.call_soon_threadsafe(self._resume.set_result, (result, error))
        return self._done.result()

    async def _whole(self) -> BaseException | None:
        try:
            self._resume = asyncio.get_running_loop().create_future()
            entered = await start(self._steps)
        except BaseException as raised:
            self._entered.set_exception(raised)
            return None
        self._entered.set_result(entered)
        if not entered:
            return None
        result, error = await self._resume
        return await finish(self._steps, result, error)

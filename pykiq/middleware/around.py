"""Running a chain: around a push, around a `def` handler, around an `async def` handler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from functools import partial
from types import CoroutineType, GeneratorType
from typing import Any, Protocol, TypeVar, cast

from pykiq.errors import PayloadError
from pykiq.middleware.chain import Chain, ClientMiddleware, Job, ServerMiddleware, title
from pykiq.middleware.onloop import LoopSpan, finish, in_a_thread, run_to_its_end, start

T = TypeVar("T")


def run_client(chain: Chain[ClientMiddleware], job: Job) -> Job | None:
    """What the chain makes of a job: the payload to push, or None when a middleware stopped it (WIRE.md §4.5).

    Whatever the outermost middleware returns is the payload. Exceptions pass to the caller, nothing is pushed. An
    `async def` one is run to its end: this blocks, so a caller on an event loop goes through `away_from_the_loop`.
    Raises PayloadError when a middleware returns something that is neither a dict nor falsy.
    """
    entries = chain.entries
    return _push_through(entries, 0, job) if entries else job


def _push_through(entries: tuple[ClientMiddleware, ...], index: int, job: Job) -> Job | None:
    if index == len(entries):
        return job
    rest = _Rest(entries, index + 1)
    returned: Any = entries[index](job, cast(Any, rest))
    if type(returned) is CoroutineType:
        rest.awaited = True
        returned = run_to_its_end(returned)
    if not returned:
        return None
    if not isinstance(returned, dict):
        raise PayloadError(
            f"client middleware `{title(entries[index])}` returned a {type(returned).__name__};"
            " expected the job (what call_next returned), or None to stop the push"
        )
    return returned


class _Rest:
    """The `call_next` of one middleware: the chain inside of it. One that is awaited gets an awaitable."""

    __slots__ = ("_entries", "_index", "awaited")

    def __init__(self, entries: tuple[ClientMiddleware, ...], index: int) -> None:
        self._entries = entries
        self._index = index
        self.awaited = False

    def __call__(self, job: Job) -> Any:
        through = partial(_push_through, self._entries, self._index, job)
        return in_a_thread(through) if self.awaited else through()


class _Span(Protocol):
    """One middleware around one execution."""

    def enter(self) -> bool: ...
    def leave(self, result: Any, error: BaseException | None) -> BaseException | None: ...


def run_server(
    chain: Chain[ServerMiddleware],
    job: Any,
    call: Callable[[], T],
    *,
    loop: asyncio.AbstractEventLoop | None = None,
) -> T | None:
    """Run `call` inside the chain, in this thread, and return what it returned.

    None when a middleware returned without yielding (the job then counts as done, WIRE.md §6) or swallowed the error.
    Asynchronous middlewares run on `loop`, which must be running in another thread; without one, on a loop of their
    own for this job. Raises whatever leaves the outermost middleware.
    """
    entries = chain.entries
    if not entries:
        return call()
    spans: list[_Span] = []
    result: T | None = None
    error: BaseException | None = None
    try:
        for entry in entries:
            span = _open(entry, job, loop)
            if not span.enter():
                break
            spans.append(span)
        else:
            result = call()
    except BaseException as raised:
        error = raised
    while spans:
        try:
            error = spans.pop().leave(result, error)
        except BaseException as raised:  # interrupted at the shutdown deadline: the others still have to be left
            error = raised
        if error is not None:
            result = None
    if error is not None:
        try:
            raise error
        finally:
            error = None  # a frame that holds its own exception keeps the job's locals alive until a collection
    return result


async def arun_server(chain: Chain[ServerMiddleware], job: Any, acall: Callable[[], Awaitable[T]]) -> T | None:
    """As `run_server`, for an awaitable. Plain generators run on the event loop, so they must not block."""
    entries = chain.entries
    if not entries:
        return await acall()
    opened: list[Generator[Any, Any, Any] | AsyncGenerator[Any, Any]] = []
    result: T | None = None
    error: BaseException | None = None
    try:
        for entry in entries:
            steps = _steps(entry, job)
            entered = await start(steps) if isinstance(steps, AsyncGenerator) else _PlainSpan(steps).enter()
            if not entered:
                break
            opened.append(steps)
        else:
            result = await acall()
    except BaseException as raised:
        error = raised
    while opened:
        steps = opened.pop()
        if isinstance(steps, AsyncGenerator):
            error = await finish(steps, result, error)
        else:
            error = _PlainSpan(steps).leave(result, error)
        if error is not None:
            result = None
    if error is not None:
        try:
            raise error
        finally:
            error = None
    return result


def _steps(entry: ServerMiddleware, job: Any) -> Generator[Any, Any, Any] | AsyncGenerator[Any, Any]:
    steps = entry(job)
    # The exact types first: asking the abstract ones costs as much as the rest of the chain does.
    if type(steps) is GeneratorType or isinstance(steps, (Generator, AsyncGenerator)):
        return steps
    raise TypeError(
        f"server middleware `{title(entry)}` returned a {type(steps).__name__}; expected a generator function"
        " with one `yield` where the job runs"
    )


def _open(entry: ServerMiddleware, job: Any, loop: asyncio.AbstractEventLoop | None) -> _Span:
    steps = _steps(entry, job)
    if type(steps) is not GeneratorType and isinstance(steps, AsyncGenerator):
        return LoopSpan(steps, loop)
    return _PlainSpan(steps)


class _PlainSpan:
    """A generator around one execution. The rules of leaving it are those of `contextlib.contextmanager`."""

    __slots__ = ("_steps",)

    def __init__(self, steps: Generator[Any, Any, Any]) -> None:
        self._steps = steps

    def enter(self) -> bool:
        """Run up to the `yield`. False when there was none."""
        try:
            next(self._steps)
        except StopIteration:
            return False
        return True

    def leave(self, result: Any, error: BaseException | None) -> BaseException | None:
        """Run the rest. Returns the error that goes on outwards, None when there is none (any more)."""
        try:
            if error is None:
                self._steps.send(result)
            else:
                self._steps.throw(error)
        except StopIteration:
            return None
        except RuntimeError as raised:
            # A StopIteration that enters a generator comes out wrapped in a RuntimeError: give the job its own back.
            if isinstance(error, StopIteration) and raised.__cause__ is error:
                return error
            return raised
        except BaseException as raised:
            return raised
        finally:
            # The error's traceback holds this frame: holding the error in turn would keep the job's locals alive.
            error = None
        self._steps.close()
        name = cast(Any, self._steps).__qualname__
        return RuntimeError(f"server middleware `{name}` yielded twice; expected one `yield`, where the job runs")

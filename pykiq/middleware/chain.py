"""The ordered list of middlewares, for pushes and for executions alike.

The first entry is the outermost. A chain may be changed at any time and from any thread: every change replaces the
whole tuple of entries, so a push or a job that is under way goes on with the tuple it started with, without a lock.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Iterator
from functools import partial
from typing import Any, Generic, TypeVar, cast

from pykiq.errors import ConfigError

M = TypeVar("M", bound=Callable[..., Any])
Added = TypeVar("Added", bound=Callable[..., Any])

Job = dict[str, Any]
CallNext = Callable[[Job], "Job | None"]
AsyncCallNext = Callable[[Job], Awaitable["Job | None"]]
ClientMiddleware = (
    Callable[[Job, CallNext], "Job | None"] | Callable[[Job, AsyncCallNext], Coroutine[Any, Any, "Job | None"]]
)
ServerMiddleware = Callable[[Any], "Generator[Any, Any, Any] | AsyncGenerator[Any, Any]"]


class Chain(Generic[M]):
    """An ordered list of middlewares.

    `check` refuses what can never work as one, at the time it is added: it raises ConfigError.

        @pykiq.server_middleware.add
        def timed(job):
            started = time.monotonic()
            yield
            job.log.info("timed", seconds=time.monotonic() - started)
    """

    __slots__ = ("_check", "_lock", "entries")

    def __init__(self, *entries: M, check: Callable[[Any], None] | None = None) -> None:
        self.entries: tuple[M, ...] = ()
        self._check = check
        self._lock = threading.Lock()
        for entry in entries:
            self.add(entry)

    def add(self, middleware: Added) -> Added:
        """Append as the innermost entry and return it, so it works as a decorator. One that is there already moves."""
        return self._place(middleware, lambda others: len(others))

    def prepend(self, middleware: Added) -> Added:
        """Put in front of all others, as the outermost entry. One that is there already moves."""
        return self._place(middleware, lambda others: 0)

    def insert_before(self, existing: Callable[..., Any], middleware: Added) -> Added:
        """Put just outside of `existing`. Raises ConfigError when `existing` is not in the chain.

        Ruby puts it first or last instead, silently: the order is the reason to call this, so we say so.
        """
        return self._place(middleware, lambda others: _position(others, existing))

    def insert_after(self, existing: Callable[..., Any], middleware: Added) -> Added:
        """Put just inside of `existing`. Raises ConfigError when `existing` is not in the chain."""
        return self._place(middleware, lambda others: _position(others, existing) + 1)

    def remove(self, middleware: Callable[..., Any]) -> None:
        """Take out of the chain. Nothing happens when it is not there."""
        with self._lock:
            self.entries = tuple(entry for entry in self.entries if entry != middleware)

    def clear(self) -> None:
        """Take everything out."""
        with self._lock:
            self.entries = ()

    def exists(self, middleware: Callable[..., Any]) -> bool:
        """Whether this middleware is in the chain."""
        return middleware in self.entries

    def __iter__(self) -> Iterator[M]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __bool__(self) -> bool:
        return bool(self.entries)

    def __repr__(self) -> str:
        return f"Chain({', '.join(title(entry) for entry in self.entries)})"

    def _place(self, middleware: Added, index: Callable[[tuple[Any, ...]], int]) -> Added:
        if not callable(middleware):
            raise ConfigError(f"{middleware!r} is not callable: a middleware is a function; did you mean to pass one?")
        if self._check is not None:
            self._check(middleware)
        with self._lock:
            others: tuple[Any, ...] = tuple(entry for entry in self.entries if entry != middleware)
            at = index(others)
            self.entries = (*others[:at], cast(Any, middleware), *others[at:])
        return middleware


def title(middleware: Callable[..., Any]) -> str:
    """The name by which messages call a middleware."""
    target = middleware.func if isinstance(middleware, partial) else middleware
    name = getattr(target, "__qualname__", None)
    return str(name) if name else type(target).__qualname__


def _position(entries: tuple[Any, ...], existing: Callable[..., Any]) -> int:
    try:
        return entries.index(existing)
    except ValueError:
        have = ", ".join(title(entry) for entry in entries) or "nothing"
        raise ConfigError(
            f"`{title(existing)}` is not in the chain, which holds {have}: add it before placing others around it"
        ) from None


def check_client(middleware: Any) -> None:
    """Refuse what cannot stand around a push: raises ConfigError."""
    shape = _shape(middleware)
    if _yields(shape):
        raise ConfigError(
            f"client middleware `{title(middleware)}` is {_kind(shape)}; expected a function (job, call_next)"
            " that returns call_next(job), or None to stop the push"
        )
    _check_arity("client", middleware, (None, None), "(job, call_next)")


def is_awaited(middleware: ClientMiddleware) -> bool:
    """Whether a client middleware is an `async def` function."""
    return inspect.iscoroutinefunction(_shape(middleware))


def check_server(middleware: Any) -> None:
    """Refuse what cannot stand around an execution: raises ConfigError."""
    shape = _shape(middleware)
    if not _yields(shape):
        raise ConfigError(
            f"server middleware `{title(middleware)}` is {_kind(shape)}; expected a generator function (job)"
            " with one `yield` where the job runs"
        )
    _check_arity("server", middleware, (None,), "(job)")


def _check_arity(side: str, middleware: Any, arguments: tuple[None, ...], expected: str) -> None:
    try:
        inspect.signature(middleware).bind(*arguments)
    except TypeError as error:
        raise ConfigError(f"{side} middleware `{title(middleware)}` must take {expected}: {error}") from None
    except ValueError:
        return  # written in C and saying nothing about itself


def _shape(middleware: Any) -> Any:
    """The function whose code decides how the middleware is called."""
    target = middleware
    while isinstance(target, partial):
        target = target.func
    target = inspect.unwrap(target)
    if not inspect.isroutine(target) and not inspect.isclass(target):
        return inspect.unwrap(type(target).__call__)
    return target


def _yields(shape: Any) -> bool:
    return inspect.isgeneratorfunction(shape) or inspect.isasyncgenfunction(shape)


def _kind(shape: Any) -> str:
    if inspect.isclass(shape):
        return "a class"
    if inspect.iscoroutinefunction(shape):
        return "an async function"
    return "a generator function" if _yields(shape) else "a plain function"


client_middleware: Chain[ClientMiddleware] = Chain(check=check_client)
"""Around every push of this process. Exported as `pykiq.client_middleware`."""

server_middleware: Chain[ServerMiddleware] = Chain(check=check_server)
"""Around every execution in this process. Exported as `pykiq.server_middleware`."""

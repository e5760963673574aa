"""Hooks that users hang on a worker process: its events, deaths of jobs, errors.

    event       when                                                    order
    startup     handlers are loaded, before the first job is taken      as declared
    heartbeat   the first beat, and the first one after Redis was away  as declared
    beat        every beat                                              as declared
    quiet       no more jobs are taken                                  last declared first
    shutdown    the process is about to stop, jobs may still run        last declared first
    exit        every job is done or handed back                        last declared first

A hook that raises is reported to the log and to the error handlers; it never stops the worker or loses a job.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pykiq.config.settings import did_you_mean
from pykiq.errors import ConfigError
from pykiq.logger import get_logger

EVENTS = ("startup", "quiet", "shutdown", "exit", "heartbeat", "beat")
_LAST_FIRST = frozenset({"quiet", "shutdown", "exit"})

Hook = TypeVar("Hook", bound=Callable[..., Any])
DeathHandler = TypeVar("DeathHandler", bound=Callable[[Mapping[str, Any], BaseException], Any])
ErrorHandler = TypeVar("ErrorHandler", bound=Callable[[BaseException, Mapping[str, Any]], Any])

_ASYNC_HOOK_SECONDS = 60.0  # a hook that hangs on the loop must not hang the process with it


class Lifecycle:
    """The hooks of one process. `async def` hooks run on the worker's event loop, plain ones in place."""

    def __init__(self) -> None:
        self._hooks: dict[str, tuple[Callable[..., Any], ...]] = dict.fromkeys(EVENTS, ())
        self._deaths: tuple[Callable[..., Any], ...] = ()
        self._errors: tuple[Callable[..., Any], ...] = ()

    def on(self, event: str) -> Callable[[Hook], Hook]:
        """Decorator: call the function, without arguments, at `event`. Raises ConfigError for an unknown event."""
        if event not in self._hooks:
            near = did_you_mean(str(event), EVENTS, cutoff=0.5)
            raise ConfigError(f"{event!r} is not an event{near or '; expected one of ' + ', '.join(EVENTS)}")

        def add(hook: Hook) -> Hook:
            _check(f"on({event!r})", hook)
            self._hooks[event] = (*self._hooks[event], hook)
            return hook

        return add

    def death_handler(self, handler: DeathHandler) -> DeathHandler:
        """Decorator: call the function with (job, error) when a job has no retries left (WIRE.md §7e).

        Also when it went to the dead set in another way: `error` is then a PoisonPill or an Unreadable, and of bytes
        that are no job `job` has `raw`.
        """
        _check("death_handler", handler)
        self._deaths = (*self._deaths, handler)
        return handler

    def error_handler(self, handler: ErrorHandler) -> ErrorHandler:
        """Decorator: call the function with (error, context) for every failure of a job and every failing hook.

        `context` says what failed: `{"context": "job", "job": payload, …}` or `{"context": "startup hook"}`.
        """
        _check("error_handler", handler)
        self._errors = (*self._errors, handler)
        return handler

    def remove(self, hook: Callable[..., Any]) -> None:
        """Take a hook or handler out. Nothing happens when it is not there."""
        self._hooks = {event: tuple(one for one in hooks if one != hook) for event, hooks in self._hooks.items()}
        self._deaths = tuple(one for one in self._deaths if one != hook)
        self._errors = tuple(one for one in self._errors if one != hook)

    @property
    def listens_to_failures(self) -> bool:
        """Whether anybody wants the exceptions of failed jobs; if not, none is kept a moment longer than needed."""
        return bool(self._errors or self._deaths)

    def fire(self, event: str, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Call the hooks of an event, each whatever the others did. Never raises."""
        hooks = self._hooks[event]
        for hook in reversed(hooks) if event in _LAST_FIRST else hooks:
            self._call(f"{event} hook", loop, hook)

    def fire_death(
        self, job: Mapping[str, Any], error: BaseException, *, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        """Call the death handlers. Never raises."""
        for handler in self._deaths:
            self._call("death handler", loop, handler, job, error)

    def fire_error(
        self,
        error: BaseException,
        context: Mapping[str, Any],
        *,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Call the error handlers. Never raises."""
        for handler in self._errors:
            try:
                _run(handler, loop, error, context)
            except BaseException:  # one that exits keeps neither the next from running nor the process
                _report("error handler", handler)

    def clear(self) -> None:
        """Forget every hook."""
        self.__init__()  # type: ignore[misc]

    def _call(self, what: str, loop: asyncio.AbstractEventLoop | None, hook: Callable[..., Any], *args: Any) -> None:
        try:
            _run(hook, loop, *args)
        except BaseException as error:
            _report(what, hook)
            self.fire_error(error, {"context": what, "hook": _name(hook)}, loop=loop)


def _run(hook: Callable[..., Any], loop: asyncio.AbstractEventLoop | None, *args: Any) -> None:
    returned = hook(*args)
    if not inspect.iscoroutine(returned):
        return
    if loop is None:
        asyncio.run(returned)
    else:
        asyncio.run_coroutine_threadsafe(returned, loop).result(_ASYNC_HOOK_SECONDS)


def _check(what: str, hook: object) -> None:
    if not callable(hook):
        raise ConfigError(f"{what} was given {hook!r:.80}; expected a function, such as the one it decorates")


def _report(what: str, hook: Callable[..., Any]) -> None:
    get_logger().error("hook_failed", context=what, hook=_name(hook), exc_info=True)


def _name(hook: Callable[..., Any]) -> str:
    return f"{getattr(hook, '__module__', '?')}.{getattr(hook, '__qualname__', repr(hook))}"


lifecycle = Lifecycle()
"""The hooks of this process."""

on = lifecycle.on
death_handler = lifecycle.death_handler
error_handler = lifecycle.error_handler
fire = lifecycle.fire
fire_death = lifecycle.fire_death
fire_error = lifecycle.fire_error

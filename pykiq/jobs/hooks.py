"""`retry_in` and `retries_exhausted`: what a handler may say about its own failures."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from pykiq.errors import RegistrationError
from pykiq.jobs.signatures import code_of, positional_bounds, short_name

RetryIn = Callable[[int, BaseException, Mapping[str, Any]], object]
RetriesExhausted = Callable[[Mapping[str, Any], BaseException], object]

_ARGUMENTS = {"retry_in": ("count", "error", "job"), "retries_exhausted": ("job", "error")}


class Verdict(Enum):
    """What `retry_in` may return instead of seconds. `retries_exhausted` may return DISCARD (WIRE.md §7d, §7e)."""

    KILL = "kill"
    DISCARD = "discard"


KILL = Verdict.KILL
"""To the dead set now, whatever the retry count."""

DISCARD = Verdict.DISCARD
"""Drop the job: no retry, no dead entry."""


def of_function(kind: str, hook: Callable[..., object] | None) -> Callable[..., object] | None:
    """A hook given as an option or by a decorator; it may leave out the last argument. Raises RegistrationError.

    `retry_in` got its third argument in Sidekiq 7, so hooks of two are common.
    """
    if hook is None:
        return None
    taken = _taken(kind, hook, kind, skip=0)
    return hook if taken == len(_ARGUMENTS[kind]) else _leaving_out_last(hook)


def of_class(kind: str, target: Any) -> Callable[..., object] | None:
    """A hook written as a method of a job class: each call makes a fresh instance. Raises RegistrationError."""
    found = getattr(target, kind, None)
    if found is None:
        return None
    if isinstance(inspect.getattr_static(target, kind), (staticmethod, classmethod)):
        return of_function(kind, found)
    taken = _taken(kind, found, f"{target.__qualname__}.{kind}", skip=1)
    hook: Callable[..., object] = lambda *args: getattr(target(), kind)(*args)  # noqa: E731
    return hook if taken == len(_ARGUMENTS[kind]) else _leaving_out_last(hook)


def _leaving_out_last(hook: Callable[..., object]) -> Callable[..., object]:
    return lambda *args: hook(*args[:-1])


def _taken(kind: str, hook: Any, called: str, *, skip: int) -> int:
    """How many of its arguments the hook takes: all of them, or all but the last."""
    arguments = _ARGUMENTS[kind]
    takes = f"expected a plain function ({', '.join(arguments)})"
    if not callable(hook):
        raise RegistrationError(f"{called} is {hook!r:.80}; {takes}")
    if inspect.iscoroutinefunction(code_of(hook)):
        raise RegistrationError(f"{called} is an async function; {takes}: it runs while the failure is written down")
    signature = inspect.signature(hook)
    at_least, at_most = positional_bounds(signature, called)
    for count in (len(arguments), len(arguments) - 1):
        if at_least - skip <= count <= at_most - skip:
            return count
    raise RegistrationError(f"{called} is {short_name(hook)}{signature}; {takes}")

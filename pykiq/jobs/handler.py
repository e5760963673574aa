"""A handler: the code for one class of jobs, looked at once, when it is declared."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from pykiq.errors import RegistrationError, SignatureMismatch
from pykiq.jobs import ajrules, hooks
from pykiq.jobs.ajrules import Rules
from pykiq.jobs.hooks import RetriesExhausted, RetryIn
from pykiq.jobs.signatures import (
    UNBOUNDED,
    check_constructor,
    check_no_method,
    check_takes_self,
    code_of,
    place_of,
    positional_bounds,
    short_name,
    shown,
)


@dataclass(frozen=True, slots=True, eq=False)
class Handler:
    """The code for one class of jobs.

    `options` are what a push writes into the payload, `retry` and `queue` always among them.
    `retry_in(count, error, job)` and `retries_exhausted(job, error)` are None when the handler has none.
    """

    name: str
    target: Any
    is_async: bool
    options: Mapping[str, Any]
    signature: inspect.Signature
    title: str  # as messages show it: `charge(order_id: int)`
    at_least: int
    at_most: int
    make: Callable[[], Callable[..., Any]] | None = None
    retry_in: RetryIn | None = None
    retries_exhausted: RetriesExhausted | None = None
    active_job: Rules | None = None  # None for a plain job
    place: tuple[str, int, str] | None = field(default=None, repr=False)

    @property
    def default_retry(self) -> Any:
        """The `retry` of a payload that has none of its own (WIRE.md §7a)."""
        return self.options["retry"]

    @property
    def timeout(self) -> float | None:
        """Seconds one execution may take; None for no limit. A payload's own `timeout` wins over this one."""
        return self.options.get("timeout")

    def bind(self) -> Callable[..., Any]:
        """The callable for one execution: the function, or `perform` of a fresh instance."""
        return self.target if self.make is None else self.make()

    def call(self, *args: Any) -> Any:
        """Run once. What an asynchronous handler returns must be awaited."""
        return self.bind()(*args)

    def check(self, args: Sequence[Any]) -> None:
        """Raise SignatureMismatch when the handler cannot take this number of arguments."""
        if self.at_least <= len(args) <= self.at_most:
            return
        given = "1 argument" if len(args) == 1 else f"{len(args)} arguments"
        raise SignatureMismatch(f"`{self.name}` is {self.title}; it was given {given}, takes {self._takes()}")

    def _takes(self) -> str:
        if self.at_most == self.at_least:
            return str(self.at_least) if self.at_least else "none"
        if self.at_most == UNBOUNDED:
            return f"at least {self.at_least}"
        return f"{self.at_least} to {self.at_most}"

    def check_made(self) -> None:
        """Raise RegistrationError when no instance can be made: a decorator may have changed the class meanwhile."""
        if self.make is not None:
            check_constructor(self.target)

    def with_hook(self, kind: str, hook: Callable[..., object]) -> Handler:
        """This handler with `hook` as its `retry_in` or `retries_exhausted`. Raises RegistrationError."""
        checked = hooks.of_function(kind, hook)
        return replace(self, retry_in=checked) if kind == "retry_in" else replace(self, retries_exhausted=checked)


def for_function(
    target: Callable[..., Any],
    name: str,
    options: Mapping[str, Any],
    *,
    retry_in: Callable[..., object] | None = None,
    retries_exhausted: Callable[..., object] | None = None,
    active_job: Rules | None = None,
) -> Handler:
    """The handler of a function, a `functools.partial` or a callable object. Raises RegistrationError."""
    called = short_name(target)
    code = code_of(target)
    signature = _signature(target, called, code)
    check_no_method(signature, called)
    at_least, at_most = positional_bounds(signature, called, keywords=active_job is not None)
    is_async = inspect.iscoroutinefunction(code)
    ajrules.check_hooks(active_job or ajrules.Rules(), name, is_async=is_async)
    return Handler(
        name=name,
        target=target,
        is_async=is_async,
        options=MappingProxyType(dict(options)),
        signature=signature,
        title=shown(called, signature),
        at_least=at_least,
        at_most=at_most,
        retry_in=hooks.of_function("retry_in", retry_in),
        retries_exhausted=hooks.of_function("retries_exhausted", retries_exhausted),
        active_job=active_job,
        place=place_of(target, code),
    )


def for_class(target: Any, name: str, options: Mapping[str, Any], active_job: Rules | None = None) -> Handler:
    """The handler of a class with a `perform` method: a fresh instance per execution. Raises RegistrationError."""
    check_constructor(target)
    perform = inspect.getattr_static(target, "perform")
    called = f"{target.__name__}.perform"
    if not inspect.isfunction(perform):
        raise RegistrationError(f"{called} is a {type(perform).__name__}; expected a method (self, …)")
    signature = _signature(perform, called, perform)
    check_takes_self(signature, called)
    signature = signature.replace(parameters=list(signature.parameters.values())[1:])
    at_least, at_most = positional_bounds(signature, called, keywords=active_job is not None)
    is_async = inspect.iscoroutinefunction(perform)
    ajrules.check_hooks(active_job or ajrules.Rules(), name, is_async=is_async)
    return Handler(
        name=name,
        target=target,
        is_async=is_async,
        options=MappingProxyType(dict(options)),
        signature=signature,
        title=shown(called, signature),
        at_least=at_least,
        at_most=at_most,
        make=lambda: target().perform,
        retry_in=hooks.of_class("retry_in", target),
        retries_exhausted=hooks.of_class("retries_exhausted", target),
        active_job=active_job,
        place=place_of(target, perform),
    )


def _signature(target: Any, called: str, code: Any) -> inspect.Signature:
    if inspect.isgeneratorfunction(code) or inspect.isasyncgenfunction(code):
        raise RegistrationError(
            f"{called} has a `yield`, so calling it would run nothing; a handler is a plain or an async function"
        )
    try:
        return inspect.signature(target)
    except ValueError:
        return inspect.signature(lambda *args: None)  # written in C and saying nothing: it checks its own arguments

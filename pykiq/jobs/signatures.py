"""What a callable is: its code, its name, how many positional arguments it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from pykiq.errors import RegistrationError

UNBOUNDED = 1 << 62
"""The upper bound of a function with `*args`."""


def code_of(target: Any) -> Any:
    """The function whose body runs: looks through partials, and at `__call__` of an object."""
    while isinstance(target, partial):
        target = target.func
    if inspect.isroutine(target) or inspect.isclass(target):
        return target
    return type(target).__call__


def short_name(target: Any) -> str:
    """What people call it: the name of the function, of a partial's function, of an object's class."""
    while isinstance(target, partial):
        target = target.func
    return str(getattr(target, "__name__", None) or type(target).__name__)


class _Unquoted:
    """An annotation that is text, as `from __future__ import annotations` makes all of them, shown as it was typed."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def shown(called: str, signature: inspect.Signature) -> str:
    """A signature for messages: `charge(order_id: int, note: str = '')`."""
    parameters = [
        parameter.replace(annotation=_Unquoted(parameter.annotation))
        if isinstance(parameter.annotation, str)
        else parameter
        for parameter in signature.parameters.values()
    ]
    return f"{called}{inspect.Signature(parameters)}"


def positional_bounds(signature: inspect.Signature, called: str, *, keywords: bool = False) -> tuple[int, int]:
    """How many positional arguments it takes, at least and at most.

    Raises RegistrationError for a keyword that cannot be left out, unless it can be passed: ActiveJobs have `keywords`.
    """
    at_least = at_most = 0
    unbounded = False
    for parameter in signature.parameters.values():
        required = parameter.default is parameter.empty
        if parameter.kind is parameter.VAR_POSITIONAL:
            unbounded = True
        elif parameter.kind is parameter.KEYWORD_ONLY:
            if required and not keywords:
                raise RegistrationError(
                    f"{called} requires the keyword `{parameter.name}`, but jobs have positional arguments only;"
                    " give it a default or take it before the `*`"
                )
        elif parameter.kind is not parameter.VAR_KEYWORD:
            at_least += required
            at_most += 1
    return at_least, UNBOUNDED if unbounded else at_most


def check_no_method(signature: inspect.Signature, called: str) -> None:
    """Raise RegistrationError for a method of a class: its `self` would be the job's first argument."""
    first = next(iter(signature.parameters), None)
    if first in ("self", "cls"):
        raise RegistrationError(
            f"{called} takes `{first}`, and a job has no object to be called on; make it a function,"
            " or the method `perform` of a class that derives from pykiq.Job"
        )


def place_of(target: Any, code: Any) -> tuple[str, int, str] | None:
    """File, line and name, to tell one file loaded under two module names from two handlers with one name.

    None for what has no place of its own: a partial, an object or a method of one, a function made by another function.
    """
    if inspect.ismethod(target):
        return None
    body = getattr(inspect.unwrap(code), "__code__", None) if callable(code) else None
    where = str(getattr(target, "__qualname__", ""))
    if body is None or not where or "<locals>" in where:
        return None
    return body.co_filename, body.co_firstlineno, where


def check_constructor(target: Callable[..., Any]) -> None:
    """Raise RegistrationError when a class cannot be made without arguments."""
    try:
        inspect.signature(target).bind()
    except TypeError as mismatch:
        raise RegistrationError(
            f"{short_name(target)} cannot be made without arguments ({mismatch});"
            " every execution makes a fresh instance, so give __init__ defaults"
        ) from None
    except ValueError:
        return  # a constructor written in C, without a readable signature


def check_takes_self(signature: inspect.Signature, called: str) -> None:
    """Raise RegistrationError for a method that takes no argument at all, not even its object."""
    if not any(parameter.kind is not parameter.KEYWORD_ONLY for parameter in signature.parameters.values()):
        raise RegistrationError(f"{called}{signature} takes no `self`; expected a method (self, …)")

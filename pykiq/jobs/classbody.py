"""What would mean nothing in the body of a job class: refused when the class is made, with what was probably meant.

Options stand on the class line and the code in `perform`. Nothing would read an option or call a method elsewhere: the
jobs would go to the wrong queue, or run nothing.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from pykiq.errors import RegistrationError
from pykiq.jobs.ajrules import Rules
from pykiq.jobs.options import OPTIONS

_WRITTEN_HERE = ("job_name", "job_options", "job_envelope")
_VERBS = (
    "perform_async", "perform_in", "perform_at", "perform_bulk", "perform_inline",
    "aperform_async", "aperform_in", "aperform_at", "aperform_bulk", "aperform_inline",
)  # fmt: skip
_HOOKS = {"retryin": "retry_in", "retriesexhausted": "retries_exhausted"}
_ELSEWHERE = frozenset({"run", "call", "execute", "handle", "process", "work", "do", "__call__"})
"""What the method of a job is called in other job systems."""

_VALUES = OPTIONS | {"priority"}
_METHODS = (FunctionType, staticmethod, classmethod)

_NEAR = 0.84  # of `perform`: `preform` is 0.86, `reform` 0.77, `transform` 0.63
_NEAR_HOOK = 0.86  # of `retryin`: `retryinn` is 0.93, `retryif` 0.857


def check(made: type, job: type) -> None:
    """Raise RegistrationError when `made`, derived from `job`, has something in its body that means nothing there."""
    body = dict(_body(made, job))
    for name, value in body.items():
        _check_option(made, name, value)
        _check_verb(made, name, value)
        _check_hook(made, name, value)
    if getattr(made, "perform", None) is None:
        for name, value in body.items():
            if isinstance(value, _METHODS) and _is_meant_to_be_perform(name):
                raise RegistrationError(
                    f"{made.__qualname__} has a method `{name}` and none called `perform`, which is what a job runs;"
                    f" rename it, or, in a base of other classes, declare `perform` as an abstract method"
                )


def is_abstract(made: type) -> bool:
    """Whether a method still has to be written. `abc` looks only after the class is made, and this is before."""
    members: dict[str, Any] = {}
    for base in reversed(made.__mro__):
        members.update(vars(base))
    return any(getattr(value, "__isabstractmethod__", False) is True for value in members.values())


def _body(made: type, job: type) -> Iterator[tuple[str, Any]]:
    """What the class and its mixins define. Its bases among the classes of jobs have been looked at already."""
    for base in reversed(made.__mro__):
        if base is made or not issubclass(base, job):
            yield from vars(base).items()


def _check_option(made: type, name: str, value: Any) -> None:
    if name in _WRITTEN_HERE or name == "sidekiq_options":
        kind = "name=…" if name == "job_name" else "queue=…, retry=…"
        raise RegistrationError(
            f"{made.__qualname__} has `{name}` in its body, where it is not read;"
            f" give it on the class line: class {made.__name__}(pykiq.Job, {kind})"
        )
    if name == "name":
        is_option = isinstance(value, str)
    elif name in Rules._fields or name == "active_job":
        is_option = True
    else:
        is_option = name in _VALUES and not callable(value) and not hasattr(type(value), "__get__")
    if is_option:
        raise RegistrationError(
            f"{made.__qualname__} has `{name} = {value!r:.60}` in its body, where it is not read;"
            f" give it on the class line: class {made.__name__}(pykiq.Job, {name}=…)"
        )


def _check_verb(made: type, name: str, value: Any) -> None:
    if name in _VERBS and inspect.isfunction(value):
        raise RegistrationError(
            f"{made.__qualname__} has a method `{name}`, which is how its jobs are pushed; the code of the job goes"
            " into `perform`"
        )


def _check_hook(made: type, name: str, value: Any) -> None:
    if name in _HOOKS.values() or not isinstance(value, _METHODS):
        return
    plain = name.lower().replace("_", "").removeprefix("sidekiq")
    near = difflib.get_close_matches(plain, _HOOKS, n=1, cutoff=_NEAR_HOOK)
    if near:
        raise RegistrationError(
            f"{made.__qualname__} has a method `{name}`, which nobody calls; did you mean `{_HOOKS[near[0]]}`?"
        )


def _is_meant_to_be_perform(name: str) -> bool:
    lower = name.lower()
    return (
        lower in _ELSEWHERE
        or lower.startswith("perform")
        or difflib.SequenceMatcher(None, lower, "perform").ratio() >= _NEAR
    )

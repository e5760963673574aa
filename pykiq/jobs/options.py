"""The options of a job: which values they take. Every one of them is written into the payload, as in Ruby.

queue          name of a queue                          retry_queue   the queue of its retries
retry          True, False or how many times            retry_for     seconds or timedelta, instead of a count
dead           False: not to the dead set in the end    backtrace     True, or how many lines to keep
tags           list of strings, shown on dashboards     timeout       seconds or timedelta one execution may take
expires_in     seconds or timedelta after which a       unique_for    seconds or timedelta
               waiting job is dropped
any other      whatever JSON can hold; Ruby middleware and gems find their own there
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Any

from pykiq.client.build import retry_for
from pykiq.client.times import number
from pykiq.config.settings import did_you_mean
from pykiq.errors import PayloadError, RegistrationError
from pykiq.version import FOLDER
from pykiq.wire.arguments import check_arguments

OF_ONE_JOB = frozenset({
    "class", "args", "jid", "at", "created_at", "enqueued_at", "failed_at", "retried_at", "retry_count",
    "error_class", "error_message", "error_backtrace", "discarded_at",
})  # fmt: skip
"""Keys of a payload that a class cannot decide for all of its jobs."""

_ELSEWHERE = {"retries": "retry", "max_retries": "retry"}  # what other job systems call them
_NEAR = 0.75  # gems' own options are further away: `lock_timeout` of sidekiq-unique-jobs is 0.74 of `timeout`


def checked(options: Mapping[str, Any], whose: str) -> dict[str, Any]:
    """`options` as a payload holds them: tuples of tags as lists, timedeltas in seconds. Raises RegistrationError."""
    try:
        return {name: _checked(name, value) for name, value in options.items()}
    except PayloadError as error:
        raise RegistrationError(f"{whose}: {error}") from None


def checked_for_push(options: Mapping[str, Any]) -> dict[str, Any]:
    """The same for `set(...)`. Raises PayloadError."""
    return {name: _checked(name, value) for name, value in options.items()}


def _checked(name: str, value: Any) -> Any:
    rule = _RULES.get(name)
    if rule is not None:
        return rule(name, value)
    if name in OF_ONE_JOB:
        raise PayloadError(f"`{name}` belongs to one job and is not an option; leave it out")
    if name == "sync":
        raise PayloadError("`sync` is not an option here; call perform_inline to run a job at once")
    meant = _meant(name)
    if meant:
        warnings.warn(
            f"the option `{name}` is kept on the payload and means nothing to pykiq{meant}", stacklevel=_user()
        )
    if isinstance(value, timedelta):
        return _whole(value.total_seconds())
    try:
        check_arguments([value])
    except PayloadError as error:
        raise PayloadError(f"option {str(error).replace('args[0]', name, 1)}") from None
    return value


@lru_cache(maxsize=256)
def _meant(name: str) -> str:
    """The option that an unknown one is probably meant to be, as the end of a sentence."""
    if name in _ELSEWHERE:
        return f"; did you mean `{_ELSEWHERE[name]}`?"
    return did_you_mean(name, OPTIONS, cutoff=_NEAR)


def _user() -> int:
    """The stack level, for a warning, of the nearest caller outside of this package."""
    level = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(FOLDER):
        level, frame = level + 1, frame.f_back
    return level


def _queue(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise PayloadError(f"`{name}` is {value!r:.80}; expected the name of a queue")
    return value


def _retry(name: str, value: Any) -> bool | int:
    if not isinstance(value, int) or value < 0:
        raise PayloadError(f"`{name}` is {value!r:.80}; expected True, False or how many times to retry")
    return value


def _dead(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise PayloadError(f"`{name}` is {value!r:.80}; expected True or False")
    return value


def _backtrace(name: str, value: Any) -> bool | int:
    if not isinstance(value, int) or value < 0:
        raise PayloadError(f"`{name}` is {value!r:.80}; expected True, False or how many lines to keep")
    return value


def _tags(name: str, value: Any) -> list[str]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(tag, str) for tag in value):
        raise PayloadError(f"`{name}` is {value!r:.80}; expected a list of strings")
    return list(value)


def _seconds(name: str, value: Any) -> int | float:
    seconds = number(value, name)
    if seconds <= 0:
        raise PayloadError(f"`{name}` is {value!r:.80}; expected a positive number of seconds")
    return _whole(seconds)


def _retry_for(name: str, value: Any) -> int:
    if _seconds(name, value) < 1:
        raise PayloadError(f"`{name}` is {value!r:.80}; expected at least one second")
    return retry_for(value)


def _whole(seconds: int | float) -> int | float:
    return int(seconds) if seconds == int(seconds) else seconds


_RULES: Mapping[str, Callable[[str, Any], Any]] = {
    "queue": _queue,
    "retry_queue": _queue,
    "retry": _retry,
    "retry_for": _retry_for,
    "dead": _dead,
    "backtrace": _backtrace,
    "tags": _tags,
    "timeout": _seconds,
    "expires_in": _seconds,
    "unique_for": _seconds,
}

OPTIONS = frozenset(_RULES)
"""The options that mean something here; any other is kept for somebody else."""

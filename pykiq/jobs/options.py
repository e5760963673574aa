"""The options of a job: which values they take. Every one of them is written into the payload, as in Ruby.

queue          name of a queue                          retry_queue   the queue of its retries
retry          True, False or how many times            retry_for     seconds or timedelta, instead of a count
dead           False: not to the dead set in the end    backtrace     True, or how many lines to keep
tags           list of strings, shown on dashboards     timeout       seconds or timedelta one execution may take
expires_in     seconds or timedelta after which a       unique_for    seconds or timedelta; pykiq takes no lock yet
               waiting job is dropped                   priority      of an ActiveJob, a whole number
extra          mapping of other keys for the payload, whatever JSON can hold: Ruby middleware and gems find their own

Any other keyword is kept on the payload like a key of `extra`, with a warning when it is probably a mistake. Type
checkers know those above only.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Any

from pykiq.client.build import expires_in, retry_for
from pykiq.client.caller import users_level
from pykiq.client.naming import is_queue
from pykiq.client.times import duration
from pykiq.errors import PayloadError, RegistrationError
from pykiq.wire.arguments import check_arguments

OF_ONE_JOB = frozenset({
    "class", "args", "jid", "at", "created_at", "enqueued_at", "failed_at", "retried_at", "retry_count",
    "error_class", "error_message", "error_backtrace", "discarded_at", "expiry",
})  # fmt: skip
"""Keys of a payload that a class cannot decide for all of its jobs."""

OF_THE_DECLARATION = frozenset({
    "name", "active_job", "like", "retry_in", "retries_exhausted", "wait", "wait_until",
    "rescue", "before_perform", "around_perform", "after_perform", "after_discard", "queue_as",
})  # fmt: skip
"""What `@pykiq.job`, `remote`, a class line or `set` take, each where it means something, and no payload holds."""

GEMS_LOCKS = frozenset({
    "lock", "lock_args", "lock_args_method", "lock_info", "lock_limit", "lock_prefix", "lock_timeout", "lock_ttl",
    "on_conflict", "unique_across_queues", "unique_across_workers", "unique_args",
})  # fmt: skip
"""Locks of sidekiq-unique-jobs: pykiq takes none yet. For a class that runs in Ruby they mean what they say there."""

NOT_YET = frozenset({
    "unique_for", "unique_until", "cron", "every", "schedule", "catch_up", "overlap", "batch", "limit", "limit_key",
    "status",
})  # fmt: skip
"""Options of features that are to come; Ruby honours them at the push, if at all. A warning until they work."""

_ELSEWHERE = {
    "retries": "retry", "max_retries": "retry", "attempts": "retry", "max_attempts": "retry",
    "time_limit": "timeout", "soft_time_limit": "timeout", "job_timeout": "timeout", "execution_timeout": "timeout",
    "expires": "expires_in", "queue_name": "queue", "countdown": "wait", "delay": "wait", "eta": "wait_until",
}  # fmt: skip
"""What other job systems call them."""

_NEAR = 0.75  # gems' own options are further away: `lock_timeout` of sidekiq-unique-jobs is 0.74 of `timeout`


def checked(options: Mapping[str, Any], whose: str, *, runs_here: bool = True) -> dict[str, Any]:
    """`options` as a payload holds them: tuples of tags as lists, timedeltas in seconds. Raises RegistrationError.

    `runs_here` is False for a class whose jobs run elsewhere, where the locks of Ruby's gems work.
    """
    try:
        return _checked_all(options, runs_here=runs_here)
    except PayloadError as error:
        raise RegistrationError(f"{whose}: {error}") from None


def checked_for_push(options: Mapping[str, Any], *, runs_here: bool = True) -> dict[str, Any]:
    """The same for `set(...)`. Raises PayloadError."""
    return _checked_all(options, runs_here=runs_here)


def _checked_all(options: Mapping[str, Any], *, runs_here: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in options.items():
        if name == "extra":
            found.update(_extra(value))
        elif name in _RULES:
            found[name] = _RULES[name](name, value)
        else:
            found[name] = _other(name, value)
        if name not in _RULES or name in NOT_YET:
            _warn_of_likely_mistake(name, runs_here=runs_here)
    return found


def _extra(given: Any) -> dict[str, Any]:
    """The keys of `extra`: what a payload holds beside the options. Nothing in it is warned of: it is meant."""
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise PayloadError(f"`extra` is {given!r:.80}; expected a mapping of further keys for the payload")
    options = [name for name in given if name in _RULES and name not in NOT_YET]
    if options:
        raise PayloadError(f"`extra` has `{options[0]}`, which is an option of its own; give it beside `extra`")
    return {name: _RULES.get(name, _json)(name, value) for name, value in given.items()}


def _other(name: str, value: Any) -> Any:
    if name in OF_THE_DECLARATION:
        raise PayloadError(f"`{name}` is not an option here; {_PLACES.get(name, _OF_ACTIVE_JOBS)}")
    if name == "sync":
        raise PayloadError("`sync` is not an option here; call perform_inline to run a job at once")
    return _json(name, value)


def _json(name: str, value: Any) -> Any:
    if name in OF_ONE_JOB:
        raise PayloadError(f"`{name}` belongs to one job and is not an option; leave it out")
    if isinstance(value, timedelta):
        return duration(value, name)
    try:
        check_arguments([value])
    except PayloadError as error:
        raise PayloadError(f"option {str(error).replace('args[0]', name, 1)}") from None
    return value


_OF_ACTIVE_JOBS = "it belongs to the declaration of an ActiveJob that runs here"
_CODE = "it is code of a handler: an argument of @pykiq.job, or a method of a pykiq.Job class"
_PLACES = {
    "name": "it belongs to the declaration, and a class of jobs has one name",
    "active_job": "it belongs to the declaration",
    "like": "it is for pykiq.remote",
    "wait": "it is for one push: charge.set(wait=60).perform_async(…)",
    "wait_until": "it is for one push: charge.set(wait_until=…).perform_async(…)",
    "retry_in": _CODE,
    "retries_exhausted": _CODE,
}


def _warn_of_likely_mistake(name: str, *, runs_here: bool) -> None:
    if name in NOT_YET or (name in GEMS_LOCKS and runs_here):
        warnings.warn(
            f"the option `{name}` is kept on the payload and pykiq does nothing with it yet;"
            " if that is meant, give it in `extra`",
            stacklevel=users_level(),
        )
        return
    meant = _meant(name)
    if meant is not None:
        warnings.warn(
            f"the option `{name}` is kept on the payload and means nothing to pykiq; did you mean `{meant}`?",
            stacklevel=users_level(),
        )


@lru_cache(maxsize=256)
def _meant(name: str) -> str | None:
    """The option that an unknown one is probably meant to be."""
    known = {option: option for option in (*_RULES, "extra", "wait", "wait_until")} | _ELSEWHERE
    if known.get(name) == name or name in GEMS_LOCKS:
        return None
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=_NEAR)
    return known[near[0]] if near else None


def _queue(name: str, value: Any) -> str:
    if not is_queue(value):
        raise PayloadError(f"`{name}` is {value!r:.80}; expected the name of a queue, in UTF-8")
    return str(value)


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
    seconds = duration(value, name)
    if seconds <= 0:
        raise PayloadError(f"`{name}` is {value!r:.80}; expected a positive number of seconds")
    return seconds


def _retry_for(name: str, value: Any) -> int:
    if _seconds(name, value) < 1:
        raise PayloadError(f"`{name}` is {value!r:.80}; expected at least one second")
    return retry_for(value)


_RULES: Mapping[str, Callable[[str, Any], Any]] = {
    "queue": _queue,
    "retry_queue": _queue,
    "retry": _retry,
    "retry_for": _retry_for,
    "dead": _dead,
    "backtrace": _backtrace,
    "tags": _tags,
    "timeout": _seconds,
    "expires_in": lambda name, value: expires_in(value),
    "unique_for": _seconds,
}

OPTIONS = frozenset(_RULES) | {"extra"}
"""The names of the options that pykiq checks; any other keyword is kept on the payload as it is."""

"""A job's payload as Sidekiq reads it, odd ones included (WIRE.md §3, §19). Nothing here raises for an odd value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from pykiq.errors import Unreadable
from pykiq.wire import activejob
from pykiq.wire.dialect import is_number, seconds
from pykiq.wire.exactjson import has_spelling, loads, unspelled

_NEVER_ESCAPED = re.compile(rb"[\w.:-]+")


def parse(raw: bytes) -> dict[str, Any]:
    """Return a fresh parse of a job's bytes.

    Raises Unreadable when they are not a JSON object. Ruby loses a job that is JSON but no object (captures
    `odd_json_array` and its kin); for pykiq it is as unreadable as broken JSON, and is kept in `dead`.
    """
    value = loads(raw)
    if not isinstance(value, dict):
        raise Unreadable(f'the bytes are JSON, but {_kind(value)}; a job is a JSON object like {{"class": …}}')
    return value


NO_JOB = b"not a job: "


def legible(raw: bytes) -> bytes:
    """Return `raw` as an entry that Ruby can look at: JSON that is no object is preceded by `not a job: `.

    One such entry breaks the page and every walk through the set in all versions (WIRE.md §21); text that is no JSON
    at all they show.
    """
    try:
        value = loads(raw)
    except Unreadable:
        return raw
    return raw if isinstance(value, dict) else NO_JOB + raw


def class_name(payload: Mapping[str, Any]) -> str | None:
    """Return the job's class without a leading `::`, or None when it is missing or not a string."""
    name = payload.get("class")
    if not isinstance(name, str):
        return None
    return name.removeprefix("::") or None


def display_name(payload: Mapping[str, Any]) -> str:
    """Return the class as people know it: `display_class`, else `wrapped`, else `class`, else `?`."""
    if "wrapped" in payload or "display_class" in payload:  # a plain job has neither
        for key in ("display_class", "wrapped"):
            name = payload.get(key)
            if isinstance(name, str) and name:
                return name
    name = class_name(payload)
    return (activejob.wrapped_class(payload) if name in activejob.WRAPPERS else None) or name or "?"


def is_never_escaped(text: bytes) -> bool:
    """Whether JSON has no reason to escape any of `text`: then a job with it has these bytes, and need not be parsed.

    A class or a jid is of this kind as a rule. A writer may use escapes all the same; none that is known does.
    """
    return _NEVER_ESCAPED.fullmatch(text) is not None


def jid(payload: Mapping[str, Any]) -> str:
    """Return the job's id as logs and hooks know it; empty when it is none. Not `str()`: it refuses huge integers."""
    found = payload.get("jid")
    return found if isinstance(found, str) else ""


class Told(NamedTuple):
    """What a log says of a job; `name` and `jid` are empty, and `queue` is `?`, where its bytes do not tell."""

    name: str
    jid: str
    queue: str


def told(raw: bytes) -> Told:
    """Return what the bytes tell of their job, whatever they are."""
    try:
        job = parse(raw)
    except Unreadable:
        return Told("", "", "?")
    queue = job.get("queue")
    return Told(display_name(job), jid(job), queue if isinstance(queue, str) and queue else "?")


def as_job(raw: bytes, queue: str) -> dict[str, Any]:
    """Return what hooks are told of an entry: its job, or for bytes that are none a stand-in that has them as `raw`."""
    try:
        return parse(raw)
    except Unreadable:
        return {"class": "?", "jid": "", "queue": queue, "args": [], "raw": raw}


def handler_name(payload: Mapping[str, Any]) -> str | None:
    """Return the class whose handler runs the job: the one behind ActiveJob's wrapper, else `class`, or None."""
    name = class_name(payload)
    return activejob.wrapped_class(payload) or name if name in activejob.WRAPPERS else name


def arguments(payload: Mapping[str, Any]) -> list[Any]:
    """Return the positional arguments, odd `args` read as Ruby reads them (captures `odd_ok_args_*`).

    Missing or null is no argument, an object is one `[key, value]` pair per key, any other value is one argument. All
    floats are plain ones: a handler may pass them to orjson, which refuses subclasses of float.
    """
    args = payload.get("args")
    if args is None:
        return []
    if isinstance(args, dict):
        args = [[key, value] for key, value in args.items()]
    elif not isinstance(args, list):
        args = [args]
    return unspelled(args) if has_spelling(args) else args


def attempt(payload: Mapping[str, Any]) -> int:
    """Return how many executions came before this one: 0 at first, `retry_count` + 1 after a failure.

    A `retry_count` that is not a number counts as never failed. The Web UI's "retry now" leaves -1 after a first
    failure, which is 0 here.
    """
    count = retry_count(payload)
    return 0 if count is None else max(0, int(count) + 1)


def retry_count(payload: Mapping[str, Any]) -> int | float | None:
    """Return `retry_count` when it is a number Ruby could count on with, else None: never failed."""
    count = payload.get("retry_count")
    return count if is_number(count) else None


def latency(payload: Mapping[str, Any], now: float) -> float | None:
    """Return how long the job waited in its queue, in seconds up to `now`, or None when it does not say.

    Counted from `enqueued_at`, else `created_at`, in either unit. Never negative: clocks of two machines differ.
    """
    since = seconds(payload.get("enqueued_at"))
    if since is None:
        since = seconds(payload.get("created_at"))
    if since is None:
        return None
    return now - since if now > since else 0.0


def _kind(value: object) -> str:
    kinds = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")

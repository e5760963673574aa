"""What a failure leaves on a job: Sidekiq's error fields, retry limits and exhaustion (WIRE.md §7).

Everything here works on a fresh parse of the job's raw bytes, so nothing a handler or a middleware did to its payload
reaches the retry entry (capture `server_middleware_mutation_not_in_retry`).
"""

from __future__ import annotations

import base64
import binascii
import re
import textwrap
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from pykiq.errors import Unreadable
from pykiq.wire.dialect import Dialect, is_number, seconds
from pykiq.wire.exactjson import dumps, loads
from pykiq.wire.payload import parse, retry_count

MESSAGE_LIMIT = 10_000  # characters
BACKTRACE_LIMIT = 1_000_000  # bytes that are unpacked of one; a megabyte in Redis may be a gigabyte unpacked
CUT_MESSAGE_LIMIT = 200  # characters, where an entry is too large for Redis
UNSPEAKABLE = "!!! ERROR MESSAGE THREW AN ERROR !!!"  # capture error_message_msgraise

_SURROGATE = re.compile("[\ud800-\udfff]")
_LEADING_INTEGER = re.compile(r"\s*([+-]?\d{1,18})")


# Read past what a class or its metaclass may define in their place, which can raise.
_TRACEBACK: Any = BaseException.__dict__["__traceback__"].__get__
_MODULE: Any = type.__dict__["__module__"].__get__
_QUALNAME: Any = type.__dict__["__qualname__"].__get__


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception as text. Holds no reference to it: a traceback keeps every local of its frames alive."""

    error_class: str | None
    message: str
    backtrace: tuple[str, ...] = ()


def describe(error: BaseException, *, backtrace: bool = True) -> Failure:
    """Return the exception as text; never raises, whatever the exception does when it is asked.

    The class is bare for Python's own, else with its module. The message has at most 10000 characters, and U+FFFD
    where it could not be UTF-8 (captures `error_message_*`). The backtrace is `backtrace_of` it, or left out.
    """
    return Failure(class_name_of(type(error)), _message_of(error), backtrace_of(error) if backtrace else ())


def backtrace_of(error: BaseException) -> tuple[str, ...]:
    """Return where the exception was raised, a line for each frame, innermost first, as Ruby's."""
    lines = [*_lines(_TRACEBACK(error))]
    lines.reverse()
    return tuple(lines)


def keeps_backtrace(payload: Mapping[str, Any]) -> bool:
    """Tell whether `record_failure` writes lines of the backtrace into this payload."""
    return payload.get("backtrace") not in (None, False)


def record_failure(
    payload: dict[str, Any],
    failure: Failure,
    *,
    queue: str,
    now: float,
    dialect: Dialect,
    default_retry: object,
) -> None:
    """Write a failure's fields into `payload`, in place, in Ruby's order (WIRE.md §7b, steps 1 to 4).

    `queue` is the queue the job was popped from, `now` is in epoch seconds. `default_retry` is the handler's own
    `retry` option, written when the payload has none; None when the class is unknown here. A `retry_count` or
    `retry_queue` with which Ruby would lose the job (capture `odd_fail_retry_count_string`) is taken for absent.
    """
    if payload.get("retry") is None and default_retry is not None:
        payload["retry"] = default_retry
    retry_queue = payload.get("retry_queue")
    payload["queue"] = retry_queue if isinstance(retry_queue, str) and retry_queue else queue
    payload["error_message"] = _clean(failure.message)
    payload["error_class"] = failure.error_class
    count = retry_count(payload)
    if count is None:
        payload["failed_at"] = dialect.stamp(now)
        payload["retry_count"] = 0
    else:
        payload["retried_at"] = dialect.stamp(now)
        payload["retry_count"] = count + 1
    wanted = _wanted_lines(payload.get("backtrace"), failure.backtrace)
    if wanted is not None:
        payload["error_backtrace"] = encode_backtrace(wanted, dialect)


def retry_limit(payload: Mapping[str, Any], *, default_retry: object | None, max_retries: int = 25) -> int | None:
    """Return how many retries the job may have, or None for `retry: false`: no retry and no dead entry (§7a).

    `default_retry` stands in for a missing or null `retry`. When it is None too, the class is unknown here: Ruby drops
    such a job (capture `odd_fail_missing_retry_unknown_class`), pykiq retries it like `true`.
    """
    retry = payload.get("retry")
    if retry is None:
        retry = default_retry
    if retry is False:
        return None
    if isinstance(retry, int) and not isinstance(retry, bool):
        return retry
    return max_retries


def is_exhausted(payload: Mapping[str, Any], limit: int, *, now: float, dialect: Dialect) -> bool:
    """Tell whether the failure just recorded was the last one allowed (WIRE.md §7b, step 5).

    `retry_for` (seconds since `failed_at`) is ignored by 6.4, a second limit in 7.3, the only one in 8.1. One that is
    not a number, which makes Ruby lose the job, is ignored.
    """
    over_count = (retry_count(payload) or 0) >= limit
    retry_for = payload.get("retry_for")
    if dialect.retry_for == "ignored" or not is_number(retry_for):
        return over_count
    first_failure = payload.get("failed_at")
    if dialect.retry_for == "also":
        # 7.3 adds seconds to whatever is there, so 8.x's milliseconds never expire: odd_fail_retry_for_ms_failed_at
        return over_count or (is_number(first_failure) and first_failure + retry_for < now)
    since = seconds(first_failure)
    return over_count if since is None else since + retry_for < now


def wants_death_entry(payload: Mapping[str, Any]) -> bool:
    """Tell whether an exhausted job goes to `dead`: always, unless `dead` is exactly `false` (WIRE.md §7e)."""
    return payload.get("dead") is not False


def encode_backtrace(lines: Sequence[str], dialect: Dialect) -> str:
    """Return lines as `error_backtrace` holds them: JSON, zlib, base64; 6.4 breaks it every 60 characters (§7c)."""
    text = base64.b64encode(zlib.compress(dumps([_clean(line) for line in lines]))).decode("ascii")
    return "\n".join(textwrap.wrap(text, 60)) + "\n" if dialect.wraps_backtrace else text


def decode_backtrace(text: str) -> list[str]:
    """Return the lines that `encode_backtrace` was given, of any dialect; [] when `text` is nothing of the kind.

    Of one that is longer than `BACKTRACE_LIMIT` bytes the whole lines before that, and then one that says so.
    """
    try:
        unpacking = zlib.decompressobj()
        raw = unpacking.decompress(base64.b64decode(text), BACKTRACE_LIMIT)
        lines = loads(_closed(raw) if unpacking.unconsumed_tail else raw)
    except (Unreadable, ValueError, binascii.Error, zlib.error):
        return []
    found = [line for line in lines if isinstance(line, str)] if isinstance(lines, list) else []
    return [*found, f"(cut here: more than {BACKTRACE_LIMIT:,} bytes)"] if unpacking.unconsumed_tail else found


def _closed(raw: bytes) -> bytes:
    """The beginning of a JSON list of texts, closed behind the last text that is whole."""
    return raw[: raw.rfind(b'","')] + b'"]' if b'","' in raw else b"[]"


def _wanted_lines(option: object, lines: Sequence[str]) -> Sequence[str] | None:
    """The lines that a job's `backtrace` option keeps, None for none at all. Numeric strings count, as in Ruby."""
    if option is None or option is False:
        return None
    if isinstance(option, str):
        number = _LEADING_INTEGER.match(option)
        return lines[: int(number[1]) if number else 0]
    if option is not True and is_number(option):
        return lines[: int(option)]
    return lines


def cut(entry: bytes, dialect: Callable[[dict[str, Any]], Dialect]) -> bytes:
    """A retry or dead entry without what may be cut: most of its message, and its backtrace. Itself if there is none.

    Raises Unreadable for what is no job.
    """
    job = parse(entry)
    message = job.get("error_message")
    if isinstance(message, str):
        job["error_message"] = message[:CUT_MESSAGE_LIMIT]
    if job.pop("error_backtrace", None) is None and job.get("error_message") == message:
        return entry
    return dumps(job, dialect(job))


def class_name_of(kind: type[BaseException]) -> str:
    """The name of a class of errors: bare for Python's own, else with its module."""
    module, name = _MODULE(kind), _QUALNAME(kind)
    return _clean(name if not isinstance(module, str) or module == "builtins" else f"{module}.{name}")


def _message_of(error: BaseException) -> str:
    try:
        return _clean(str.__str__(str(error))[:MESSAGE_LIMIT])
    except BaseException:  # one that exits or interrupts from __str__ must not take the worker with it
        return UNSPEAKABLE


def _clean(text: str) -> str:
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def _lines(traceback: TracebackType | None) -> Iterator[str]:
    while traceback is not None:
        code = traceback.tb_frame.f_code
        yield _clean(f"{code.co_filename}:{traceback.tb_lineno}:in '{code.co_qualname}'")
        traceback = traceback.tb_next

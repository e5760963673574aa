"""What a job carries of the context that pushed it: its locale, Rails' CurrentAttributes, its place in a trace.

Whoever runs a job and pushes others passes these keys on. WIRE.md §16 and ECOSYSTEM.md 6 and 7 say who writes them:

    locale                         Sidekiq's I18n middleware
    cattr, cattr_1, cattr_2 …      CurrentAttributes, one key per class: an object until Sidekiq 7, from 8 on pairs
    traceparent, tracestate        OpenTelemetry and Datadog (W3C trace context)
    baggage                        both
    trace_propagation_headers      Sentry: an object with `sentry-trace` and `baggage`
    sentry_user                    Sentry: an object
    x-datadog-trace-id and others  Datadog
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pykiq.errors import DeserializationError

LOCALE = "locale"
ATTRIBUTES = "cattr"
W3C = ("traceparent", "tracestate", "baggage")
SENTRY = ("trace_propagation_headers", "sentry_user")
DATADOG = tuple(f"x-datadog-{name}" for name in ("trace-id", "parent-id", "sampling-priority", "tags", "origin"))

_NAMED = frozenset({LOCALE, ATTRIBUTES, *W3C, *SENTRY, *DATADOG})
_NUMBERED = re.compile(r"cattr_[1-9][0-9]*")

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SENTRY_TRACE = re.compile(r"([0-9a-f]{32})-([0-9a-f]{16})(?:-([01]))?")
_HIGH_BITS = re.compile(r"(?:^|,)_dd\.p\.tid=([0-9a-f]{16})(?:,|$)")


class Trace(NamedTuple):
    """A job's place in a trace: the ids in lower-case hex (32 and 16 digits); `sampled` is None when it is not said."""

    trace_id: str
    span_id: str
    sampled: bool | None


def of(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The context of a job: its carried keys with their values as they are. Never a null: Ruby fails a job for one."""
    return {
        key: value
        for key, value in payload.items()
        if (key in _NAMED or (key[:6] == "cattr_" and _NUMBERED.fullmatch(key))) and value is not None
    }


def locale(payload: Mapping[str, Any]) -> str | None:
    """The name of the locale the job was pushed under, or None."""
    name = payload.get(LOCALE)
    return name if isinstance(name, str) and name else None


def attributes(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The CurrentAttributes of the job, of all classes that the fleet persists; the first class that has one wins.

    Both forms are read: the object, and the pairs of Sidekiq 8, whose values have the types of `pykiq.activejob` (a
    symbol is a string). What is neither is no attribute: nothing here raises.
    """
    found: dict[str, Any] = {}
    for value in _classes(payload):
        for name, attribute in _members(value):
            found.setdefault(name, attribute)
    return found


def trace(payload: Mapping[str, Any]) -> Trace | None:
    """The trace the job belongs to: from `traceparent`, else from Sentry's headers, else from Datadog's.

    The order is ECOSYSTEM.md 6.3's. Ids that are malformed or all zeros count as none.
    """
    for read in (_of_w3c, _of_sentry, _of_datadog):
        found = read(payload)
        if found is not None and int(found.trace_id, 16) and int(found.span_id, 16):
            return found
    return None


def _classes(payload: Mapping[str, Any]) -> Iterator[Any]:
    number, key = 0, ATTRIBUTES
    while key in payload:
        yield payload[key]
        number += 1
        key = f"{ATTRIBUTES}_{number}"


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    """Names and values of one class: of an object as they are, of pairs as Active Job wrote them."""
    if isinstance(value, dict):
        yield from value.items()
    for pair in value if isinstance(value, list) else ():
        if isinstance(pair, list) and len(pair) == 2 and isinstance(name := _decoded(pair[0]), str):
            yield str(name), _decoded(pair[1])


def _of_w3c(payload: Mapping[str, Any]) -> Trace | None:
    found = _match(_TRACEPARENT, payload.get("traceparent"))
    if found is None or found[1] == "ff" or (found[1] == "00" and found[5]):
        return None
    return Trace(found[2], found[3], bool(int(found[4], 16) & 1))


def _of_sentry(payload: Mapping[str, Any]) -> Trace | None:
    headers = payload.get("trace_propagation_headers")
    found = _match(_SENTRY_TRACE, headers.get("sentry-trace") if isinstance(headers, dict) else None)
    if found is None:
        return None
    return Trace(found[1], found[2], None if found[3] is None else found[3] == "1")


def _of_datadog(payload: Mapping[str, Any]) -> Trace | None:
    """Datadog writes the low 64 bits in decimal, and the high ones, in hex, among its tags."""
    low, span = _decimal(payload.get("x-datadog-trace-id")), _decimal(payload.get("x-datadog-parent-id"))
    if low is None or span is None:
        return None
    tags = payload.get("x-datadog-tags")
    high = _HIGH_BITS.search(tags) if isinstance(tags, str) else None
    priority = payload.get("x-datadog-sampling-priority")
    sampled = None if not isinstance(priority, str) else priority in ("1", "2")
    return Trace(f"{high[1] if high else '0' * 16}{low:016x}", f"{span:016x}", sampled)


def _decimal(value: Any) -> int | None:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,20}", value):
        return None
    number = int(value)
    return number if number < 1 << 64 else None


def _match(pattern: re.Pattern[str], value: Any) -> re.Match[str] | None:
    return pattern.fullmatch(value) if isinstance(value, str) else None


def _decoded(value: Any) -> Any:
    """What Active Job wrote, as its Python counterpart; as it is when that cannot be told."""
    if not isinstance(value, (dict, list)):
        return value
    from pykiq.wire.ajarguments import decode  # as in jobs.declare: only where there are such values

    try:
        return decode([value])[0]
    except DeserializationError:
        return value

"""When a job shall run: numbers, timedeltas, datetimes and texts such as `5m`, to seconds."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta

from pykiq.errors import PayloadError
from pykiq.wire.dialect import is_number

Delay = int | float | timedelta
"""How long from now: seconds, or a timedelta."""

Moment = int | float | datetime
"""When: epoch seconds, or a datetime with a time zone."""

When = Moment | timedelta | str
"""For `perform_in`, `perform_at`, `wait`, `wait_until`. An interval: a number below `INTERVAL_BELOW`, a timedelta, or
text such as `5m`. A moment: any other number, a datetime, or text in ISO 8601 with a time zone."""

INTERVAL_BELOW = 1_000_000_000
"""`perform_in` and `perform_at` take a smaller number for an interval, any other for a moment (WIRE.md §4.3)."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}  # in seconds
_PART = r"([0-9]+(?:\.[0-9]+)?)\s*([smhdw])"
_LENGTH = re.compile(rf"\s*(?:{_PART}\s*)+")


def length(text: str) -> float | None:
    """A length of time as people write it, in seconds: `90s`, `15m`, `1h30m`, `3d`; None for any other text."""
    if not _LENGTH.fullmatch(text):
        return None
    return sum(float(count) * _UNITS[unit] for count, unit in re.findall(_PART, text))


def number(value: object, name: str = "at") -> int | float:
    """`value` in seconds, an int kept an int. Raises PayloadError.

    A timedelta is its length; a datetime its moment. `name` is what messages call the value.
    """
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime):
        if value.tzinfo is None or value.utcoffset() is None:
            raise PayloadError(
                f"`{name}` is the datetime {value.isoformat()} without a time zone, so every process could read"
                " another moment into it; pass value.astimezone() for local time, or value.replace(tzinfo=datetime.UTC)"
            )
        return value.timestamp()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PayloadError(
            f"`{name}` is {value!r:.80} ({type(value).__name__}); expected seconds as a number, a timedelta,"
            " or a datetime with a time zone"
        )
    if not is_number(value):
        given = repr(value) if isinstance(value, float) else "an integer of more than 300 digits"
        raise PayloadError(f"`{name}` is {given}; expected a finite number of seconds")
    return value


def duration(value: object, name: str) -> int | float:
    """The seconds of a length of time, an int where they are whole. Raises PayloadError, for a datetime too."""
    if isinstance(value, bool) or not isinstance(value, (int, float, timedelta)):
        raise PayloadError(
            f"`{name}` is {value!r:.80} ({type(value).__name__}); expected seconds as a number, or a timedelta"
            f"{_meant(value)}"
        )
    return _int_if_whole(number(value, name))


def due(value: object, now: float, name: str = "at") -> float | None:
    """The moment `value` means for `perform_in` and `perform_at`; None when it is not in the future: push at once.

    A timedelta and a text such as `5m` are always an interval, a datetime and a text in ISO 8601 with a time zone
    always a moment; a number is decided by its size (WIRE.md §4.3, captures perform_in, perform_at_past).
    """
    if isinstance(value, str):
        value = _read(value, name)
    given = float(number(value, name))
    is_interval = isinstance(value, timedelta) or (not isinstance(value, datetime) and given < INTERVAL_BELOW)
    moment = now + given if is_interval else given
    return moment if moment > now else None


def _read(text: str, name: str) -> timedelta | datetime:
    seconds = length(text)
    try:
        return datetime.fromisoformat(text) if seconds is None else timedelta(seconds=seconds)
    except OverflowError:
        raise PayloadError(
            f"`{name}` is {text!r:.80}, which is too long; expected a length such as '5m' or '3d'"
        ) from None
    except ValueError:
        raise PayloadError(
            f"`{name}` is {text!r:.80} (str); expected seconds as a number, a length of time such as '5m' or '1h30m',"
            f" or a time such as '2031-05-01T12:00:00+02:00'{_meant(text)}"
        ) from None


def _meant(value: object) -> str:
    """`; did you mean …?` with the seconds that a text stands for, or nothing."""
    if not isinstance(value, str):
        return ""
    try:
        seconds = float(value)
    except ValueError:
        found = length(value)
        if found is None:
            return ""
        seconds = found
    if not math.isfinite(seconds):
        return ""
    return f"; did you mean {_int_if_whole(seconds)}?"


def _int_if_whole(seconds: int | float) -> int | float:
    return int(seconds) if seconds == int(seconds) else seconds

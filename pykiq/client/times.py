"""When a job shall run: numbers, timedeltas and datetimes, to seconds."""

from __future__ import annotations

from datetime import datetime, timedelta

from pykiq.errors import PayloadError
from pykiq.wire.dialect import is_number

Delay = int | float | timedelta
"""How long from now: seconds, or a timedelta."""

Moment = int | float | datetime
"""When: epoch seconds, or a datetime with a time zone."""

INTERVAL_BELOW = 1_000_000_000
"""`perform_in` and `perform_at` take a smaller number for an interval, any other for a moment (WIRE.md §4.3)."""


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


def due(value: object, now: float, name: str = "at") -> float | None:
    """The moment `value` means for `perform_in` and `perform_at`; None when it is not in the future: push at once.

    A timedelta is always an interval, a datetime always a moment; a number is decided by its size (WIRE.md §4.3,
    captures perform_in, perform_at_past).
    """
    given = float(number(value, name))
    is_interval = isinstance(value, timedelta) or (not isinstance(value, datetime) and given < INTERVAL_BELOW)
    moment = now + given if is_interval else given
    return moment if moment > now else None

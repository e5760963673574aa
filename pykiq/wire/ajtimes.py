"""Ruby's three kinds of time as ActiveJob writes them (WIRE.md §15.3): ISO 8601 with nine digits behind the point.

Python's datetime ends at microseconds and knows no difference between `Z` and `+00:00`. These subclasses keep both, so
that what was read is written again digit by digit; whoever does not care has a datetime.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any, Self
from zoneinfo import ZoneInfo

_TEXT = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*")  # of the tz database: no dots, so no way out of it
_ZONE_LENGTH = 64

_GREENWICH = timezone(timedelta(0), "+00:00")  # not UTC: Ruby writes `+00:00` for it, and `Z` for UTC
_UTC_NAMES = ("UTC", "UCT")


class Time(datetime):
    """A Ruby `Time`. `nanosecond` is what comes after the microseconds, 0 to 999; arithmetic drops it."""

    nanosecond: int

    def __new__(cls, *args: Any, nanosecond: int = 0, **named: Any) -> Self:
        made = super().__new__(cls, *args, **named)
        made.nanosecond = nanosecond
        return made

    @classmethod
    def of(cls, moment: datetime) -> Self:
        """The same moment and clock face as this kind of time."""
        return cls(
            *(moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second, moment.microsecond),
            tzinfo=moment.tzinfo,
            fold=moment.fold,
            nanosecond=getattr(moment, "nanosecond", 0),
        )


class DateTime(Time):
    """A Ruby `DateTime`."""


class TimeWithZone(Time):
    """An `ActiveSupport::TimeWithZone`: what `Time.current` and model attributes are.

    `zone` is the name in the tz database, such as `Europe/Paris`. Rails 6.1 does not write it: then it is None, and
    `tzinfo` is only the offset. So it is for a zone that is not known here, and for a moment at which its clocks are
    set otherwise here than for Ruby, as in years far off; but the name is kept.
    """

    zone: str | None

    def __new__(cls, *args: Any, zone: str | None = None, **named: Any) -> Self:
        made = super().__new__(cls, *args, **named)
        made.zone = getattr(made.tzinfo, "key", None) if zone is None else zone
        return made


def read(text: object, kind: type[Time]) -> Time:
    """The time that `text` spells. Raises ValueError."""
    found = _TEXT.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"{text!r:.60} is no time such as '2030-01-02T03:04:05.000000000Z'")
    digits = (found[7] or "")[:9].ljust(9, "0")
    numbers = [int(found[group]) for group in range(1, 7)]
    return kind(*numbers, int(digits[:6]), tzinfo=_offset(found), nanosecond=int(digits[6:]))


def read_with_zone(text: object, zone: object) -> TimeWithZone:
    """The time that `text` spells, on the clocks of `zone`, as Rails reads it. Raises ValueError."""
    moment = read(text, TimeWithZone)
    assert isinstance(moment, TimeWithZone)
    if zone is None:
        return moment
    if not isinstance(zone, str):
        raise ValueError(f"{zone!r:.60} is no name of a time zone such as 'Europe/Paris'")
    there = _zone(zone)
    local = moment if there is None else TimeWithZone.of(moment.astimezone(there))
    if local.utcoffset() != moment.utcoffset() and moment.tzinfo is not UTC:
        local = moment  # two tz databases, or Ruby's whole minutes of an offset with seconds: what came goes back
    local.nanosecond, local.zone = moment.nanosecond, zone
    return local


def read_date(text: object) -> date:
    """The day that `text` spells. Raises ValueError."""
    if not isinstance(text, str) or not _DAY.fullmatch(text):
        raise ValueError(f"{text!r:.60} is no date such as '2030-01-02'")
    return date.fromisoformat(text)


def spell(moment: datetime) -> str:
    """`moment`, which has an offset, as Ruby's `iso8601(9)` does: `Z` for UTC, but never of a DateTime."""
    face = moment.replace(tzinfo=None).isoformat(timespec="microseconds")
    offset = moment.utcoffset() or timedelta(0)
    if not offset and moment.tzname() in _UTC_NAMES and not isinstance(moment, DateTime):
        zone = "Z"
    else:
        minutes = abs(offset) // timedelta(minutes=1)
        zone = f"{'-' if offset < timedelta(0) else '+'}{minutes // 60:02}:{minutes % 60:02}"
    return f"{face}{getattr(moment, 'nanosecond', 0):03}{zone}"


def zone_of(moment: datetime) -> str | None:
    """The name of the zone that `moment` is in, None for a mere offset."""
    if isinstance(moment, TimeWithZone):
        return moment.zone
    return moment.tzinfo.key if isinstance(moment.tzinfo, ZoneInfo) else None


def _offset(found: re.Match[str]) -> tzinfo:
    if found[8] is None:
        return UTC
    offset = timedelta(hours=int(found[9]), minutes=int(found[10]))
    if not offset:
        return _GREENWICH
    return timezone(-offset if found[8] == "-" else offset)


def _zone(name: str) -> ZoneInfo | None:
    if len(name) > _ZONE_LENGTH or not _ZONE.fullmatch(name):
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None  # a folder of the database, or a zone that this machine does not have

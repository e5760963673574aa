"""What differs between Sidekiq 6.4, 7.3 and 8.1 on the wire, and which of them a job is written in.

All three read each other's payloads, so a dialect decides only what pykiq *writes* (WIRE.md §0).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeGuard

_UNCOUNTABLE = 10**300  # integers of this size overflow when they meet a float
_MAJOR = re.compile(r"(\d{1,4})(?:\.|$)")


@dataclass(frozen=True, slots=True)
class Dialect:
    """One Sidekiq generation's habits. `heartbeat_period` is in seconds."""

    name: str
    major: int
    milliseconds: bool  # created_at, enqueued_at, failed_at, retried_at: integer ms (8.1) or float seconds
    wraps_backtrace: bool  # error_backtrace in base64 lines of 60 characters (6.4) or in one line
    short_floats: bool  # `1e+20`, `0.00001` (json gem 3) or `1.0e+20`, `1.0e-05`
    stepped_jitter: bool  # retry jitter in multiples of retry_count + 1 (6.4, 7.3) or any second (8.1)
    retry_for: Literal["ignored", "also", "instead"]  # how the time limit stands to the count limit
    heartbeat_period: float
    work_suffix: str  # the key of running work is `<identity>:<work_suffix>`
    strips_enqueued_at: bool  # a job pushed to `schedule` loses an `enqueued_at` the caller supplied
    truncates_retry_for: bool  # `retry_for` becomes an integer on push, and is refused above 1e9
    rails: Literal["6.1", "7.2"]  # whose job data an ActiveJob is pushed with: that of the Rails captured beside it

    def stamp(self, now: float) -> float | int:
        """Return `now` (epoch seconds) as this dialect writes `created_at` and its kin (WIRE.md §1.3).

        8.1 takes any number without a fraction part for milliseconds, so seconds are never written as an int.
        """
        return int(now * 1000) if self.milliseconds else float(now)


SIX = Dialect(
    name="6",
    major=6,
    milliseconds=False,
    wraps_backtrace=True,
    short_floats=False,
    stepped_jitter=True,
    retry_for="ignored",
    heartbeat_period=5.0,
    work_suffix="workers",
    strips_enqueued_at=False,
    truncates_retry_for=False,
    rails="6.1",
)
SEVEN = Dialect(
    name="7",
    major=7,
    milliseconds=False,
    wraps_backtrace=False,
    short_floats=False,
    stepped_jitter=True,
    retry_for="also",
    heartbeat_period=10.0,
    work_suffix="work",
    strips_enqueued_at=True,
    truncates_retry_for=True,
    rails="7.2",
)
EIGHT = Dialect(
    name="8",
    major=8,
    milliseconds=True,
    wraps_backtrace=False,
    short_floats=True,
    stepped_jitter=False,
    retry_for="instead",
    heartbeat_period=10.0,
    work_suffix="work",
    strips_enqueued_at=True,
    truncates_retry_for=True,
    rails="7.2",
)

_BY_NAME = {"6": SIX, "7": SEVEN, "8": EIGHT}
_OTHER_RAILS = {
    SIX: replace(SIX, rails="7.2"),
    SEVEN: replace(SEVEN, rails="6.1"),
    EIGHT: replace(EIGHT, rails="6.1"),
}


def is_number(value: object) -> TypeGuard[int | float]:
    """Tell whether `value` is a JSON number one can count with. `true` is not one, although Python's bool is an int."""
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return -_UNCOUNTABLE < value < _UNCOUNTABLE
    return isinstance(value, float) and math.isfinite(value)


def seconds(stamp: object) -> float | None:
    """Return epoch seconds of a timestamp of any dialect, or None when it is not a usable number.

    The JSON type decides, as in 8.1: an integer is milliseconds, a number with a fraction part is seconds
    (WIRE.md §1.3).
    """
    if type(stamp) is int and 0 < stamp < _UNCOUNTABLE:  # nearly every one
        return stamp / 1000
    if not is_number(stamp):
        return None
    return stamp / 1000 if isinstance(stamp, int) else float(stamp)


def for_fleet(versions: Iterable[str | None]) -> Dialect:
    """Return the dialect that every Ruby process seen can read best: the lowest generation among them.

    `versions` are the `version` fields of the processes' `info`; None is a process without one, which is 6.x. pykiq's
    own processes (`pykiq-…`) do not count. With no Ruby process in sight it is SEVEN, whose float seconds all three
    generations read (WIRE.md §21).
    """
    lowest: int | None = None
    for version in versions:
        major = 6
        if version is not None:
            if version.startswith("pykiq"):
                continue
            found = _MAJOR.match(version)
            if found is None:
                continue
            major = int(found[1])
        lowest = major if lowest is None else min(lowest, major)
    if lowest is None:
        return SEVEN
    return _BY_NAME[str(min(max(lowest, 6), 8))]


def beside_rails(dialect: Dialect, setting: str) -> Dialect:
    """`dialect` with the job data of another Rails; `auto` leaves it as it is.

    Rails 6.1 and 7.0 read all of 7.2's but Range and BigDecimal; 7.1 and later read both (WIRE.md §15).
    """
    return dialect if setting in ("auto", dialect.rails) else _OTHER_RAILS[dialect]


def for_payload(payload: Mapping[str, Any], fleet: Dialect, setting: str = "auto") -> Dialect:
    """Return the dialect to write this job in.

    `setting` `6`, `7` or `8` wins. `auto` mirrors the job's own `created_at`: an integer was written by 8.x, so 8
    it is; a float by 6.x or 7.x, so the fleet's dialect if it is one of those, else 7; without one, the fleet's.
    """
    chosen = _BY_NAME.get(setting)
    if chosen is not None:
        return chosen
    created_at = payload.get("created_at")
    if isinstance(created_at, bool):
        return fleet
    if isinstance(created_at, int):
        return EIGHT
    if isinstance(created_at, float):
        return SEVEN if fleet.milliseconds else fleet
    return fleet

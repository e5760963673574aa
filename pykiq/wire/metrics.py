"""What Ruby's Metrics page reads: keys by minute, fields by class, histograms of 26 counters (WIRE.md §12).

Sidekiq 7.3 and 8.1 have different keys for the same numbers, 6.4 has none. All times are UTC, and of the moment the
numbers are written.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import UTC, datetime

TTL = 28_800  # seconds: eight hours of minutes
TENS_TTL = 259_200  # seconds: three days of ten minutes
MARKS_TTL = 7_776_000  # seconds: ninety days
MARK_LOCK_TTL = 60  # seconds

GENERATIONS = (7, 8)
"""The major versions that have a Metrics page."""

BOUNDS = (
    *(20, 30, 45, 65, 100, 150, 225, 335, 500, 750, 1100, 1700, 2500, 3800, 5750, 8500, 13000, 20000, 30000, 45000),
    *(65000, 100000, 150000, 225000, 335000),
)
"""Upper bounds of the first 25 counters in milliseconds; the 26th is for whatever took longer."""


def buckets(milliseconds: Iterable[float]) -> list[int]:
    """The counter that each duration belongs to: the first whose bound is above it."""
    return [bisect_right(BOUNDS, one) for one in milliseconds]


def counters(generation: int, now: float) -> list[tuple[str, int]]:
    """The hashes that count executions at `now` (epoch seconds), each with its life in seconds.

    7.3: `j|20261122|2:5` is 02:05. 8.1: `j|261122|2:05` is that minute, and `j|261122|2:5` is 02:50 to 02:59.
    """
    at = datetime.fromtimestamp(now, UTC)
    if generation == 7:
        return [(f"j|{at:%Y%m%d}|{at.hour}:{at.minute}", TTL)]
    day = f"j|{at:%y%m%d}|{at.hour}"
    return [(f"{day}:{at.minute:02}", TTL), (f"{day}:{at.minute // 10}", TENS_TTL)]


def histogram(generation: int, name: str, now: float) -> str:
    """The string with a class's durations at `now`: 26 counters of 16 bits."""
    at = datetime.fromtimestamp(now, UTC)
    if generation == 7:
        return f"{name}-{at.day:02}-{at.hour:02}:{at.minute}"
    return f"h|{name}-{at.day}-{at.hour}:{at.minute}"


def marks(now: float) -> tuple[str, str]:
    """The hash of deploy marks at `now`, and the field: its minute."""
    at = datetime.fromtimestamp(now, UTC)
    return f"{at:%Y%m%d}-marks", f"{at:%Y-%m-%dT%H:%M}:00Z"


def mark_lock(label: str) -> str:
    """The key that makes one mark of a deployment that every machine reports."""
    return f"deploylock-{label}"

"""When a failed job runs again: Sidekiq's delay formula and a handler's own delay (WIRE.md §7d)."""

from __future__ import annotations

import random
import re
from datetime import timedelta

from pykiq.wire.dialect import Dialect, is_number

_FOREVER = 100_000  # retries: the delay is three million million years, and still a score that Redis takes
_LEADING_INTEGER = re.compile(r"\s*([+-]?\d{1,18})")


def jitter(count: float, dialect: Dialect, rng: random.Random) -> int:
    """Return the seconds added so that jobs which failed together do not come back together.

    `count` is the `retry_count` just stored (0 at the first failure). Capture `jitter_count_4_x400`: 6.4 and 7.3 draw
    one of ten multiples of `count + 1`, 8.1 any whole second of the same range.
    """
    spread = _counted(count) + 1
    if dialect.stepped_jitter:
        return spread * rng.randrange(10)
    return rng.randrange(10 * spread)


def delay(count: float, dialect: Dialect, rng: random.Random) -> int:
    """Return the seconds until the next try by the default formula: `count ** 4 + 15` and jitter."""
    return _counted(count) ** 4 + 15 + jitter(count, dialect, rng)


def custom_delay(returned: object, count: float, dialect: Dialect, rng: random.Random) -> int | None:
    """Return the seconds until the next try when a handler's hook chose them, or None for the default formula.

    `returned` may be an int, a float or a numeric string of seconds, or a timedelta; fractions are cut off, jitter is
    added. None, zero, anything negative and anything else mean the default formula (captures `retry_in_*`).
    """
    chosen = _whole_seconds(returned)
    return chosen + jitter(count, dialect, rng) if chosen > 0 else None


def _counted(count: float) -> int:
    return min(max(0, int(count)), _FOREVER)


def _whole_seconds(returned: object) -> int:
    if isinstance(returned, timedelta):
        returned = returned.total_seconds()
    if is_number(returned):
        return int(returned)
    if isinstance(returned, str):
        number = _LEADING_INTEGER.match(returned)
        return int(number[1]) if number else 0
    return 0

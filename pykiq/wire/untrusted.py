"""What somebody else has written to Redis, as bounded values of the types that we count on. Pure; nothing here raises.

A heartbeat, a score or a key may hold anything: Ruby stores `Float::INFINITY` when it is asked to, a process killed in
the middle of a deployment leaves half a hash, and people type into redis-cli. Whoever reads such a value takes it
through here, so that one odd entry is shown as what it is and keeps nobody from seeing the others.
"""

from __future__ import annotations

import math
from typing import Any

from pykiq.errors import Unreadable
from pykiq.wire.exactjson import loads

MOST = 2**63 - 1
"""The largest counter of Redis; a larger number is cut to it."""

LAST_MOMENT = 253_402_300_800.0
"""Epoch seconds of the year 10000: no calendar has a later moment."""

_INTEGER_LENGTH = 40  # characters: what is longer is read as a float, as int() takes quadratic time


def whole(value: object, most: int = MOST) -> int:
    """A count: text, bytes or a number, cut to 0 … `most`; 0 for anything that is no number."""
    found = number(value)
    return 0 if found is None else max(0, min(int(found), most))


def number(value: object) -> int | float | None:
    """A finite number as Redis or JSON spells it; None for anything else, NaN and the infinities too."""
    if isinstance(value, (bytes, str)):
        value = _read(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, int):
        return max(-MOST, min(value, MOST))
    return value if math.isfinite(value) else None


def moment(value: object) -> float | None:
    """Epoch seconds after 1970 that a calendar has; None for anything else."""
    found = number(value)
    return float(found) if found is not None and 0 < found < LAST_MOMENT else None


def score(value: object) -> float:
    """A score as Redis tells it: an infinity is one of them; what is no number at all counts as 0."""
    try:
        found = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return 0.0 if math.isnan(found) else found


def mapping(raw: object) -> dict[str, Any] | None:
    """A JSON object, as `exactjson.loads` reads it; None for anything else."""
    if not isinstance(raw, bytes):
        return None
    try:
        found = loads(raw)
    except Unreadable:
        return None
    return found if isinstance(found, dict) else None


def text(value: object) -> str:
    """Text; empty for anything else."""
    return value if isinstance(value, str) else ""


def texts(value: object) -> list[str]:
    """The texts of a list, without whatever else is in it."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _read(value: bytes | str) -> int | float | None:
    try:
        return int(value) if len(value) <= _INTEGER_LENGTH else float(value)
    except ValueError:
        pass
    try:
        return float(value)
    except ValueError:
        return None

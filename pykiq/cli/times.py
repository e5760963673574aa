"""Moments as they are written on the command line: epoch seconds, ISO 8601, a length of time."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from pykiq.client.times import length
from pykiq.config.settings import shown
from pykiq.errors import ConfigError

OLDEST = 1e9  # epoch seconds, of 2001: a smaller number is one that lacks its unit, such as `--since 15`


def when(delay: str | None, moment: str | None, now: float) -> float | None:
    """The time of `--in` or `--at` in epoch seconds, or None for at once. Raises ConfigError."""
    if delay is not None and moment is not None:
        raise ConfigError("--in and --at are both given; expected one of them")
    if delay is not None:
        seconds = _seconds(delay)
        if seconds is None or seconds < 0:
            raise ConfigError(
                f"--in is {shown(delay)}; expected a number of seconds, 0 or more, or a length of time such as 15m"
            )
        return now + seconds
    if moment is None:
        return None
    at = _moment(moment)
    if at is None:
        near = f"; did you mean --in {moment.strip()}?" if (_seconds(moment) or -1) >= 0 else ""
        raise ConfigError(
            f"--at is {shown(moment)}; expected epoch seconds or a time such as 2031-05-01T12:00:00+02:00{near}"
        )
    return at


def since(text: str, now: float) -> float:
    """The time of `--since` in epoch seconds: a moment, or how long ago (`90s`, `15m`, `2h`). Raises ConfigError."""
    ago = length(text)
    if ago is not None:
        return now - ago
    at = _moment(text)
    if at is None:
        raise ConfigError(
            f"--since is {shown(text)}; expected how long ago, such as 15m or 3d, or a time such as 2031-05-01T12:00"
        )
    return at


def _moment(text: str) -> float | None:
    epoch = _number(text)
    if epoch is not None and epoch >= OLDEST:
        return epoch
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)).timestamp()


def _seconds(text: str) -> float | None:
    """A length of time: seconds, or `15m`."""
    found = length(text)
    return _number(text) if found is None or not math.isfinite(found) else found


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None

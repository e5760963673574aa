"""What a line looks like: JSON for whoever searches, columns for whoever watches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from math import floor
from typing import Any

import structlog

from pykiq.wire.quick import orjson

_FIRST = ("timestamp", "level", "event")  # what the eye looks for first in a JSON line
_MULTILINE = frozenset({"event", "exception", "stack", "exc_info", "stack_info"})

_second: tuple[int, str] = (-1, "")  # the second that was written last, and how


def stamp(events: Iterable[dict[str, Any]]) -> None:
    """Write the `timestamp` of each (epoch seconds) as lines carry it: ISO 8601 in UTC with microseconds and a `Z`.

    Two for every job: what is the same for all lines of a second is made once.
    """
    global _second
    second, text = _second
    for event in events:
        at = event["timestamp"]
        rest = at - second
        if not 0 <= rest < 1:
            second = floor(at)
            rest = at - second
            text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
            _second = (second, text)
        event["timestamp"] = "%s%06dZ" % (text, rest * 1_000_000)  # noqa: UP031  # a fifth quicker than an f-string


def render_json(event: dict[str, Any]) -> str:
    """One line of JSON, `timestamp`, `level` and `event` first. What JSON cannot say is written as its repr."""
    if event.get("exc_info"):
        event = structlog.processors.format_exc_info(None, "", event)  # type: ignore[assignment]
    ordered = {key: event.pop(key) for key in _FIRST if key in event}
    ordered.update(event)
    if orjson is not None:
        with suppress(TypeError):  # lone surrogates (bytes of a payload that were not UTF-8), integers past 64 bits
            line: bytes = orjson.dumps(ordered, default=_safe_repr, option=orjson.OPT_NON_STR_KEYS)
            return line.decode()
    return json.dumps(ordered, default=_safe_repr, skipkeys=True, separators=(",", ":"))


def pretty_renderer(colors: bool) -> Callable[[dict[str, Any]], str]:
    console = structlog.dev.ConsoleRenderer(
        colors=colors,
        sort_keys=False,
        # The default prints every local variable when `rich` is installed: passwords and payloads among them.
        exception_formatter=structlog.dev.plain_traceback,
    )

    def render(event: dict[str, Any]) -> str:
        for key, value in event.items():
            # A job's error message is somebody else's text: no new lines and no terminal escapes from it.
            if not isinstance(value, str) or value.isprintable():
                continue
            if key == "exception":  # a job's traceback, which ends with such a message
                event[key] = "\n".join(f"    {_printable(line)}" for line in value.split("\n"))
            elif key not in _MULTILINE:
                event[key] = _printable(value)
        rendered = console(None, str(event.get("level", "info")), event)
        return rendered if isinstance(rendered, str) else str(rendered)

    return render


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else _picture(c) for c in text)


def _picture(character: str) -> str:
    """A visible stand-in: ␊ for a new line, ␛ for an escape. A backslash form would be escaped again when quoted."""
    return chr(0x2400 + ord(character)) if character < " " else "\ufffd"


def _safe_repr(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:
        return f"<{type(value).__name__}: its repr raised {type(error).__name__}>"

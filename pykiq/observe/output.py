"""An output: a stream, and how lines are rendered for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TextIO

from pykiq.logger import Event
from pykiq.observe.render import render_json, stamp
from pykiq.observe.stream import Stream
from pykiq.wire.quick import orjson


class Output:
    """Where all lines of a worker's process go. Nothing here raises or waits: see `logger.Sink` and `Stream`."""

    def __init__(self, stream: TextIO, render: Callable[[Event], str], level: int) -> None:
        self.stream = Stream(stream, self._dropped)
        self.render = render
        self.level = level

    def wants(self, name: str, level: int) -> bool:
        return level >= self.level

    def line(self, name: str, event: Event) -> None:
        stamp((event,))
        self.stream.write(self._line(event) + "\n")

    def lines(self, name: str, events: Iterable[Event]) -> None:
        """Render all of `events` and write them with one write."""
        events = list(events)
        stamp(events)
        rendered = self._fast(events) or [self._line(event) for event in events]
        if rendered:
            self.stream.write("\n".join(rendered) + "\n")

    def _fast(self, events: list[Event]) -> list[str] | None:
        """JSON without a copy of each event; None when this output or one of the events needs the long way.

        Two lines per job make this the dearest observer: half of what the long way costs.
        """
        if orjson is None or self.render is not render_json:
            return None
        try:
            return [orjson.dumps(event).decode() for event in events]
        except TypeError:
            return None

    def _line(self, event: Event) -> str:
        try:
            return self.render(dict(event))
        except Exception as error:
            return f"{event['timestamp']} a log line could not be rendered: {type(error).__name__}"

    def _dropped(self, lines: int) -> str:
        event: Event = {"timestamp": time.time(), "level": "error", "event": "log_lines_dropped"}
        event |= {"lines": lines, "why": "the log was not read"}
        stamp((event,))
        return self._line(event) + "\n"

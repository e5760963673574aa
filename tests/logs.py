"""What pykiq logs, caught before it is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pykiq import logger
from pykiq.logger import Event


class Caught:
    """A sink that keeps every line, whatever its level, in the form that structlog's `capture_logs` has."""

    def __init__(self) -> None:
        self.caught: list[dict[str, Any]] = []

    def wants(self, name: str, level: int) -> bool:
        return True

    def line(self, name: str, event: Event) -> None:
        self.caught.append({key: value for key, value in event.items() if key not in ("timestamp", "level")})
        self.caught[-1]["log_level"] = event["level"]

    def lines(self, name: str, events: Iterable[Event]) -> None:
        for event in events:
            self.line(name, event)


@contextmanager
def capture_logs() -> Iterator[list[dict[str, Any]]]:
    """The lines that pykiq logs inside of the block, from any thread."""
    before, caught = logger.sink(), Caught()
    logger.route(caught)
    try:
        yield caught.caught
    finally:
        logger.route(before)

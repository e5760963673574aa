"""Refused: entries and keys that Redis would not take or would not send. Told loudly, counted, and never in a flood."""

from __future__ import annotations

import time

from pykiq.logger import NAME_LENGTH, about_job, get_logger
from pykiq.observe.tally import REFUSED, Tally
from pykiq.records import Outcome
from pykiq.store.refusals import Refusals

LINES = 10  # a minute at most, for each kind of refusal
MINUTE = 60.0  # seconds

log = get_logger()


class Refused(Refusals):
    """What one process was refused. Several threads may tell of it: what they may lose of each other is a line."""

    def __init__(self, tally: Tally | None = None) -> None:
        self._tally = tally
        self._minute = 0.0  # monotonic: when the minute under way began
        self._lines: dict[str, int] = {}  # told in this minute, by step

    def settlement(self, outcome: Outcome, error: Exception, after: str = "tried again every few seconds") -> None:
        """What became of a job cannot be written."""
        queue, raw, _ = outcome.claimed
        self.entry("settle", outcome.name, outcome.jid, queue, len(raw), after, str(error))

    def entry(
        self, step: str, name: str, jid: str, queue: str, size: int, after: str, error: str = "Redis hung up on it"
    ) -> None:
        self._say(step, "entry_refused", about_job(name, jid, queue) | {"size": size, "error": error, "next": after})

    def key(self, step: str, key: str, error: str, after: str) -> None:
        self._say(step, "key_refused", {"key": key[:NAME_LENGTH], "error": error, "next": after})

    def _say(self, step: str, event: str, told: dict[str, object]) -> None:
        if self._tally is not None:
            with self._tally.lock:
                counted = self._tally.counter(REFUSED)
                counted[step,] = counted.get((step,), 0) + 1
        now = time.monotonic()
        if now - self._minute > MINUTE:
            self._minute, self._lines = now, {}
        number = self._lines[step] = self._lines.get(step, 0) + 1
        if number <= LINES:
            log.error(event, step=step, **told)
        elif number == LINES + 1:
            log.error(event, step=step, next="no more lines of this kind for a minute; see pykiq_entries_refused")

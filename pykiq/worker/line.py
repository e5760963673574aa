"""The line: the exchange's connection, and how it is doing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import redis

from pykiq.store.outage import Outage
from pykiq.store.refusals import concerns_all
from pykiq.store.scripts import Call, send

FIRST_WAIT, LONGEST_WAIT = 0.1, 2.0  # seconds of back-off while Redis does not answer
PART = "turn_failed"  # of an outage

T = TypeVar("T")


class Line:
    """One connection with a memory of its failures. Only the exchange's thread uses it, but for `answering`."""

    def __init__(self, client: redis.Redis, outage: Outage | None = None) -> None:
        self.client = client
        self._outage = outage or Outage()
        self._failures = 0

    @property
    def answering(self) -> bool:
        """Whether Redis answered the last time."""
        return self._failures == 0

    @property
    def backoff(self) -> float:
        """How long (s) to leave Redis alone now."""
        return float(min(FIRST_WAIT * 2 ** min(self._failures - 1, 8), LONGEST_WAIT))

    def send(self, calls: Sequence[Call]) -> list[object] | None:
        """The answers of one round trip, a refusal as its error; None when none came: what ran is then unknown.

        A refusal of one call alone is no failure of the line.
        """
        answers = self.ask(lambda client: send(client, calls))
        if answers is None:
            return None
        refused = next((one for one in answers if isinstance(one, Exception) and concerns_all(one)), None)
        if refused is not None:
            self.failed(refused)
        else:
            self._recovered()
        return answers

    def ask(self, question: Callable[[redis.Redis], T]) -> T | None:
        """What `question` answers, or None when Redis does not."""
        try:
            return question(self.client)
        except (redis.RedisError, OSError) as error:
            self.failed(error)
            return None

    def look(self) -> None:
        """Ask whether Redis answers again, if it did not: for a turn that has nothing to send, and so cannot tell."""
        if self._failures and self.ask(lambda client: client.ping()):
            self._recovered()

    def _recovered(self) -> None:
        self._failures = 0
        self._outage.answered(PART)

    def failed(self, error: Exception) -> None:
        """Redis did not answer, or refused what must not be refused: leave it alone for a while."""
        self._failures += 1
        self._outage.failed(PART, error)

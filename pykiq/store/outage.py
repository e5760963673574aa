"""An outage: what the parts of one process know together of whether Redis answers, told once and not by each of them.

The exchange, the poller, the sweeper and the pulse have connections of their own. Each used to complain for itself:
four warnings a second and process for as long as Redis was away.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import redis

from pykiq.logger import get_logger
from pykiq.store.refusals import concerns_all

REMIND = 60.0  # seconds between two lines while it lasts
FORGOTTEN = 15.0  # seconds after which a part that has not asked again says nothing of Redis any more

log = get_logger()


class Outage:
    """The memory of one process. A part is named after the event that tells of its failure."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since: float | None = None
        self._told_at = 0.0
        self._failures = 0  # since it began
        self._failing: dict[str, float] = {}  # part → when it failed last
        self._refused: dict[str, tuple[float, int]] = {}  # part → when that was told last, and how often it was since

    def failed(self, part: str, error: Exception) -> None:
        """Redis has not answered `part`, or has refused it."""
        reason = str(error).strip() or type(error).__name__
        if isinstance(error, redis.ResponseError) and not concerns_all(error):
            self._is_refused(part, reason)
        else:
            answers = isinstance(error, redis.ResponseError)  # that it is full, or a replica
            self._is_away(part, "redis_refuses" if answers else "redis_does_not_answer", reason)

    def answered(self, part: str) -> None:
        """Redis has answered `part`."""
        if self._since is None and not self._refused:
            return
        with self._lock:
            self._refused.pop(part, None)
            self._failing.pop(part, None)
            now = self._clock()
            if self._since is None or any(now - at < FORGOTTEN for at in self._failing.values()):
                return
            away, failures = now - self._since, self._failures
            self._since, self._failures = None, 0
            self._failing.clear()
        log.info("redis_answers_again", away=round(away, 1), failures=failures)

    def _is_away(self, part: str, event: str, reason: str) -> None:
        with self._lock:
            now = self._clock()
            self._failing[part] = now
            self._failures += 1
            if self._since is None:
                self._since = now
            elif now - self._told_at < REMIND:
                return
            self._told_at = now
            away, failures = now - self._since, self._failures
        log.error(
            event,
            error=reason,
            **({"away": round(away, 1), "failures": failures} if away else {}),
            next="asked again and again",
        )

    def _is_refused(self, part: str, reason: str) -> None:
        """A refusal of this part alone, by a rule of the ACL or because of a key: also once, and once a minute."""
        with self._lock:
            now = self._clock()
            told_at, times = self._refused.get(part, (now - REMIND, 0))
            if now - told_at < REMIND:
                self._refused[part] = told_at, times + 1
                return
            self._refused[part] = now, 0
        log.warning(part, error=reason, **({"times": times + 1} if times else {}))

"""A duty: what a process does again and again beside its jobs, on a thread of its own, until it is stopped.

Each has its own thread so that none keeps another waiting: a storm of due jobs whose client middleware is slow put the
takeovers of the fleet off for as long as it lasted.
"""

from __future__ import annotations

import math
import threading
import time
from contextlib import suppress

import redis

from pykiq.logger import get_logger
from pykiq.store.outage import Outage

BREATH = 1.0  # seconds between two attempts while Redis does not answer

log = get_logger()


class Duty:
    """The thread. Who derives from it says what a round is."""

    failed: str  # the event that is logged for a round that failed

    def __init__(self, name: str, client: redis.Redis, outage: Outage | None = None) -> None:
        self._outage = outage or Outage()
        self._client = client
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._wakes_at = 0.0  # epoch seconds: when the next round begins by itself
        self._thread = threading.Thread(target=self._run, name=f"pykiq-{name}", daemon=True)

    def start(self) -> None:
        with suppress(redis.RedisError, OSError):  # the rounds will tell
            self._client.ping()  # connects: at the first round there may be no descriptor left
        self._thread.start()

    def stop(self) -> None:
        """Begin no other round; the one under way is finished."""
        self._stop.set()
        self._wake.set()

    def close(self) -> None:
        """The same, and wait for that round: up to 5 seconds."""
        self.stop()
        if self._thread.ident is not None:
            self._thread.join(5.0)

    def _round(self) -> float:
        """Do it once; returns how long (s) to sleep until the next time."""
        raise NotImplementedError

    def _troubled(self, error: Exception) -> None:
        """Redis did not answer a round, or refused it. It has been logged."""

    def _ended(self) -> None:
        """After the last round. May raise what Redis raises."""

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            self._wakes_at = math.inf  # what comes during the round may be too late for it
            wait = self._guarded()
            self._wakes_at = time.time() + wait
            self._wake.wait(wait)
        with suppress(redis.RedisError, OSError):
            self._ended()
        self._client.close()

    def _guarded(self) -> float:
        """A round that fails keeps the next one from nothing. A BaseException too: a middleware may exit."""
        try:
            wait = self._round()
        except (redis.RedisError, OSError) as error:
            self._outage.failed(self.failed, error)
            self._troubled(error)
        except BaseException:
            log.error(self.failed, exc_info=True)
        else:
            self._outage.answered(self.failed)
            return wait
        return BREATH

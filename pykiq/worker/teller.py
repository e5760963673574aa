"""Telling: which jobs have started and which have ended goes to the reporter, a start always before its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from pykiq.records import Foreign, Settled, Started

Report = Callable[[Sequence[Started], Sequence[Settled], Sequence[Foreign]], None]


class Starting(Protocol):
    """A pool: what has jobs that start."""

    def take_started(self) -> list[Started]: ...


class Teller:
    """May be used from any thread. The lock holds the order: two threads may tell of one job's start and end."""

    def __init__(self, report: Report) -> None:
        self.pools: Sequence[Starting] = ()
        self._report = report
        self._lock = threading.Lock()

    def tell(self, settled: Sequence[Settled], met: Sequence[Foreign] = ()) -> None:
        """Report what has started since the last time, and then what else has happened, if anything has."""
        with self._lock:
            started = [one for pool in self.pools for one in pool.take_started()]
            if started or settled or met:
                self._report(started, settled, met)

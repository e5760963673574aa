"""The picture that Redis has of the running jobs, and what changes it between two beats: jobs that take their time.

A beat tells of everything that runs at that moment. Who looks at the dashboard in between would see neither the job
that began after it nor the end of the one that is stuck no more. Short jobs are not worth telling of: they have ended
before anybody reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pykiq.observe.heartbeat import Running

LONG = 0.5  # seconds that a job has run when it is told of before the next beat


class Change(NamedTuple):
    """The jobs to tell of, and the threads whose records have to go."""

    begun: tuple[Running, ...]
    ended: tuple[int, ...]


class Picture:
    """What Redis was told. Costs it at most two writes for each job that is long, and none for those that are not."""

    def __init__(self) -> None:
        self._told: dict[int, float] = {}  # thread → start (epoch s) of the job that Redis thinks it runs
        self._long: set[int] = set()  # threads whose job in `_told` has turned out to be long

    @property
    def empty(self) -> bool:
        """Whether Redis was told that nothing runs."""
        return not self._told

    def told_all(self, running: Sequence[Running], now: float) -> None:
        """A beat has written all of these at `now` (epoch s), and nothing else is left."""
        self._told = {one.thread: one.run_at for one in running}
        self._long = _long(running, now)

    def told(self, change: Change) -> None:
        """A change has been written."""
        for thread in change.ended:
            self._told.pop(thread, None)
        self._told |= {one.thread: one.run_at for one in change.begun}
        self._long &= set(self._told)

    def change(self, running: Sequence[Running], now: float) -> Change | None:
        """What is worth a write at `now` (epoch s), if anything is. What is written then also takes away the rest."""
        runs = {one.thread: one.run_at for one in running}
        ended = [thread for thread, run_at in self._told.items() if runs.get(thread) != run_at]
        begun = [one for one in running if now - one.run_at >= LONG and self._told.get(one.thread) != one.run_at]
        worth = bool(begun) or not self._long.isdisjoint(ended)
        self._long |= _long(running, now)
        if not worth:
            return None
        taken = {one.thread for one in begun}
        return Change(tuple(begun), tuple(thread for thread in ended if thread not in taken))


def _long(running: Sequence[Running], now: float) -> set[int]:
    return {one.thread for one in running if now - one.run_at >= LONG}

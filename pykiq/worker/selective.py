"""Selective claiming: how a process lives on a queue that other languages share.

A job without a handler here is put back where it was, and from then on the queue is looked through instead of popped:
only jobs whose class has a handler are claimed, the others stay in place and in order. The look goes through the
queue a window at a time; when a whole pass finds no foreign job, the queue is popped again as if nothing had been.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pykiq.records import Claimed
from pykiq.store.claim import WINDOW, Berth, claim_known_call
from pykiq.store.scripts import Call

REST = 0.5  # seconds between two passes that found nothing to do here


@dataclass(slots=True)
class _Pass:
    """One walk through a queue from its old end. `skip` entries are behind it."""

    next_look: float = 0.0
    skip: int = 0
    foreign: bool = False  # whether this pass has met a job that is not ours


class Selective:
    """The queues of one pool that hold foreign jobs just now."""

    def __init__(self, berth: Berth, classes: Callable[[], Iterable[str]]) -> None:
        self._berth = berth
        self._classes = classes
        self._passes: dict[str, _Pass] = {}
        self.paused: frozenset[str] = frozenset()  # queues not to look through for now

    def __contains__(self, queue: str) -> bool:
        return queue in self._passes

    def found_foreign(self, queue: str) -> None:
        """A claimed job had no handler here: look before taking from this queue."""
        self._passes.setdefault(queue, _Pass(foreign=True))

    def due(self, now: float) -> str | None:
        """The queue to look through next, if it is time. `now` is monotonic."""
        ready = [(one.next_look, queue) for queue, one in self._open() if one.next_look <= now]
        return min(ready)[1] if ready else None

    def next_look(self) -> float | None:
        """When (monotonic) the next look is due; None when no queue needs one."""
        return min((one.next_look for _, one in self._open()), default=None)

    def _open(self) -> Iterator[tuple[str, _Pass]]:
        return ((queue, one) for queue, one in self._passes.items() if queue not in self.paused)

    def call(self, queue: str, room: int) -> Call:
        """The claim that looks at the next window of `queue`."""
        return claim_known_call(self._berth, queue, room, self._passes[queue].skip, self._classes())

    def read(self, queue: str, answer: Sequence[Any], room: int, monotonic: float, now: float) -> list[Claimed]:
        """The jobs a look brought; decides where and when the next one is."""
        seen, claimed = int(answer[0]), [Claimed(queue, raw, now) for raw in answer[1:]]
        one = self._passes[queue]
        one.next_look = monotonic
        if len(claimed) >= room:
            return claimed  # it may have stopped early: the same window again
        if seen > len(claimed):
            one.foreign = True
        one.skip += seen - len(claimed)
        if seen < WINDOW:
            self._end_pass(queue, one, monotonic)
        return claimed

    def _end_pass(self, queue: str, one: _Pass, monotonic: float) -> None:
        if not one.foreign:
            del self._passes[queue]
            return
        one.skip, one.foreign, one.next_look = 0, False, monotonic + REST

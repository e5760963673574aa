"""Selective claiming: how a process lives on a queue that other languages share.

A job without a handler here is put back where it was, and from then on the queue is looked through instead of popped:
only jobs whose class has a handler are claimed, the others stay in place and in order. A walk goes through the queue
from its old end, a window at a time; when a whole one finds no foreign job, the queue is popped again as before.

What it costs Redis is bounded however many foreign jobs wait. Twice a second a short walk looks at the oldest window,
where jobs are put back, and at what has come since the last walk: its end is remembered by the newest entry there. The
whole queue is walked through when it is new, and then for at most a fiftieth of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pykiq.records import Claimed
from pykiq.store.claim import Berth, Look, claim_known_call, read_look
from pykiq.store.scripts import Call

REST = 0.5  # seconds between two walks
WHOLE_REST = 5.0  # seconds between two whole walks, at least
WHOLE_SHARE = 50  # and this many times what the last one took
PACE = 4.0  # within a walk, how many times as long as a look took Redis is left to others before the next


@dataclass(slots=True)
class _Walk:
    """One walk through a queue, and what the next one has to know of it. Times are monotonic."""

    next_look: float = 0.0
    asked: float = 0.0  # when the look under way was sent
    behind: bytes = b""  # the next look begins behind this entry
    whole: bool = True  # else only the oldest window and what is behind `newest`
    following: bool = False  # a short walk that has come to what is behind `newest`
    foreign: bool = True  # it has met a job that is not ours
    spent: float = 0.0  # seconds that its looks have taken
    looks: int = 0
    newest: bytes = b""  # the newest entry that the walk before this one left in place
    whole_at: float = 0.0  # when the next whole walk is due


class Selective:
    """The queues of one pool that hold foreign jobs just now."""

    def __init__(self, berth: Berth, classes: Callable[[], Iterable[str]]) -> None:
        self._berth = berth
        self._classes = classes
        self._walks: dict[str, _Walk] = {}
        self.paused: frozenset[str] = frozenset()  # queues not to look through for now

    def __contains__(self, queue: str) -> bool:
        return queue in self._walks

    def found_foreign(self, queue: str) -> None:
        """A claimed job had no handler here: look before taking from this queue."""
        self._walks.setdefault(queue, _Walk())

    def due(self, now: float) -> str | None:
        """The queue to look through next, if it is time. `now` is monotonic."""
        ready = [(one.next_look, queue) for queue, one in self._open() if one.next_look <= now]
        return min(ready)[1] if ready else None

    def next_look(self) -> float | None:
        """When (monotonic) the next look is due; None when no queue needs one."""
        return min((one.next_look for _, one in self._open()), default=None)

    def _open(self) -> Iterator[tuple[str, _Walk]]:
        return ((queue, one) for queue, one in self._walks.items() if queue not in self.paused)

    def call(self, queue: str, room: int, now: float) -> Call:
        """The claim that looks at the next window of `queue`. `now` is monotonic."""
        one = self._walks[queue]
        one.asked = now
        return claim_known_call(self._berth, queue, room, Look(one.behind, one.following), self._classes())

    def read(self, queue: str, answer: Sequence[Any], room: int, monotonic: float, now: float) -> list[Claimed]:
        """The jobs a look brought; decides where and when the next one is."""
        looked = read_look(queue, answer, now)
        one = self._walks[queue]
        took = max(monotonic - one.asked, 0.0)
        one.spent += took
        one.looks += 1
        one.foreign = one.foreign or looked.seen > len(looked.claimed)
        one.behind = looked.newest_left or one.behind
        one.next_look = monotonic
        if len(looked.claimed) >= room:
            return looked.claimed  # there may be more just behind
        if looked.to_the_end:
            self._end(queue, one, monotonic)
        else:
            one.next_look += took * PACE
            if not one.whole and not one.following:
                one.following, one.behind = True, one.newest
        return looked.claimed

    def _end(self, queue: str, one: _Walk, monotonic: float) -> None:
        saw_all = one.whole or (one.looks == 1 and not one.following)
        if saw_all and not one.foreign:
            del self._walks[queue]
            return
        whole_at = monotonic + max(WHOLE_REST, one.spent * WHOLE_SHARE) if saw_all else one.whole_at
        begins = monotonic + REST
        newest = one.behind or one.newest
        self._walks[queue] = _Walk(
            begins, newest=newest, whole=not newest or begins >= whole_at, foreign=False, whole_at=whole_at
        )

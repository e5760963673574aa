"""Selective claiming: how a process lives on a queue that other languages share.

A job without a handler here is put back where it was, and from then on the queue is looked through instead of popped:
only jobs whose class has a handler are claimed, the others stay in place and in order. A walk goes through the queue
from its old end, a window at a time; when a whole one finds no foreign job, the queue is popped again as before.

What it costs Redis is bounded however many foreign jobs wait. A short walk looks at the oldest window, where jobs are
put back, and at what has come since the last walk. The whole queue is walked through when it is new, and again from
time to time, in case a job of ours was put where no short walk looks. Either takes at most a fiftieth of the time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pykiq.records import Claimed, Foreign
from pykiq.store.claim import Berth, Look, Looked, claim_known_call, read_look
from pykiq.store.scripts import Call

SHARE = 50  # between two walks, this many times what the last one took is left to others
REST = (0.05, 0.5)  # but at least, and at most, so many seconds between two short walks
WHOLE_REST = 5.0  # and at least so many between two whole ones
PACE = 2.0  # within a walk, this many times what a look for nothing took is left to others before the next
MOST_CLASSES = 1000  # told apart in one walk: names come from payloads, and could fill the memory

_OLD_END = Look()


class _Part(Enum):
    """Which part of the queue is being looked at."""

    OLDEST = "the oldest window"
    NEWEST = "what has come since the last short walk"
    ALL = "all of it"


@dataclass(slots=True)
class _Watch:
    """What is known of one queue. Times are monotonic, those that last are seconds."""

    part: _Part = _Part.ALL
    next_look: float = 0.0
    asked: float = 0.0  # when the look under way was sent
    look: Look = _OLD_END  # where it begins
    seen_once: Look | None = None  # up to here every entry has been looked at; None in the first walk
    spent: float = 0.0  # what the looks of this walk have taken
    whole_at: float = 0.0  # when the next whole walk is due
    left: Counter[str] = field(default_factory=Counter)  # the foreign jobs that this walk has met, by class
    handed_back: Counter[str] = field(default_factory=Counter)  # claimed and told of before the first walk met them


class Selective:
    """The queues of one pool that hold foreign jobs just now."""

    def __init__(self, berth: Berth, classes: Callable[[], Iterable[str]]) -> None:
        self._berth = berth
        self._classes = classes
        self._watches: dict[str, _Watch] = {}
        self._met: list[Foreign] = []
        self.paused: frozenset[str] = frozenset()  # queues not to look through for now

    def __contains__(self, queue: object) -> bool:
        return queue in self._watches

    def found_foreign(self, queue: str, name: str) -> None:
        """A claimed job of the class `name` had no handler here: look before taking from this queue."""
        watch = self._watches.setdefault(queue, _Watch())
        if watch.seen_once is None:
            watch.handed_back[name] += 1

    def take_met(self) -> list[Foreign]:
        """The foreign jobs that walks have met since the last call."""
        met, self._met = self._met, []
        return met

    def due(self, now: float) -> str | None:
        """The queue to look through next, if it is time. `now` is monotonic."""
        ready = [(one.next_look, queue) for queue, one in self._open() if one.next_look <= now]
        return min(ready)[1] if ready else None

    def next_look(self) -> float | None:
        """When (monotonic) the next look is due; None when no queue needs one."""
        return min((one.next_look for _, one in self._open()), default=None)

    def _open(self) -> Iterator[tuple[str, _Watch]]:
        return ((queue, one) for queue, one in self._watches.items() if queue not in self.paused)

    def call(self, queue: str, room: int, now: float) -> Call:
        """The claim that looks at the next window of `queue`. `now` is monotonic."""
        watch = self._watches[queue]
        watch.asked = now
        return claim_known_call(self._berth, queue, room, watch.look, self._classes())

    def read(self, queue: str, answer: Sequence[Any], room: int, monotonic: float, now: float) -> list[Claimed]:
        """The jobs a look brought; decides where and when the next one is."""
        looked = read_look(queue, answer, now)
        watch = self._watches[queue]
        took = max(monotonic - watch.asked, 0.0)
        watch.spent += took
        if len(watch.left) < MOST_CLASSES:
            watch.left.update(looked.left)
        watch.look = Look(looked.newest_left or watch.look.behind, looked.place)
        if len(looked.claimed) >= room:
            watch.next_look = monotonic  # there may be more just behind
        elif self._goes_on(queue, watch, looked):
            foreign = 1 - len(looked.claimed) / max(looked.seen, 1)
            watch.next_look = monotonic + took * PACE * foreign
        else:
            self._rest(queue, watch, monotonic)
        return looked.claimed

    def _goes_on(self, queue: str, watch: _Watch, looked: Looked) -> bool:
        """Whether this walk has more to look at."""
        if watch.part is not _Part.OLDEST or watch.seen_once is None:
            return not looked.to_the_end
        if looked.to_the_end and not watch.left:
            return False
        watch.part, watch.look = _Part.NEWEST, watch.seen_once
        watch.left.clear()
        return True

    def _rest(self, queue: str, watch: _Watch, monotonic: float) -> None:
        """A walk has ended: tell what it met, and put off the next one."""
        if watch.part is not _Part.NEWEST and not watch.left:
            del self._watches[queue]
            return
        first = watch.seen_once is None
        if watch.left:
            new = watch.left - watch.handed_back if first else Counter[str]()
            self._met.append(Foreign(queue, watch.left, watch.left if watch.part is _Part.NEWEST else new))
        if first or watch.part is _Part.NEWEST:
            watch.seen_once = watch.look._replace(long_ago=True)
        shortest, longest = REST
        watch.next_look = monotonic + min(max(shortest, watch.spent * SHARE), longest)
        if watch.part is _Part.ALL:
            watch.whole_at = monotonic + max(WHOLE_REST, watch.spent * SHARE)
        whole = watch.part is _Part.NEWEST and watch.next_look >= watch.whole_at
        watch.part = _Part.ALL if whole else _Part.OLDEST
        watch.look, watch.spent, watch.left, watch.handed_back = _OLD_END, 0.0, Counter(), Counter()

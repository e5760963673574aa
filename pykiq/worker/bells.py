"""The bells of one capsule: how it hears of jobs in its queues while it has slots to spare.

Few queues have a doorbell each. Of many only the busiest have one, and a watch looks after the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

import redis

from pykiq.records import Claimed
from pykiq.worker.doorbell import Doorbell
from pykiq.worker.watch import Watch

FEW = 16  # queues with a doorbell each
BUSIEST = 4  # queues with a doorbell where there are more
OFTEN = 3  # changes of late, from which on a queue counts as busy
COOLING = 10.0  # seconds after which what has changed by then counts half


class Bells:
    """Only the exchange's thread uses it."""

    def __init__(self, queues: Sequence[str], door: Callable[[str], Doorbell], watch: Watch | None) -> None:
        """`door` makes a doorbell. `watch` is for more queues than `FEW`, and else None."""
        self._door = door
        self._watch = watch
        self._doors = {} if watch else {queue: door(queue) for queue in queues}
        self._leaving: list[Doorbell] = []  # disarmed for good, until they have let go
        self._changes: dict[str, float] = {}  # of late, by queue
        self._cooled_at = time.monotonic()

    def empty(self) -> Collection[str]:
        """Queues of which it is known that they are empty: a claim need not look there."""
        if self._watch is None or not self._watch.empty:
            return ()
        return self._watch.empty.keys() | {queue for queue, door in self._doors.items() if door.armed}

    def wait(self, queues: Sequence[str], through: redis.Redis) -> bool:
        """Hear of what comes to `queues`. False when there may be something in one of them already."""
        doored: Sequence[str] = queues
        watched: Sequence[str] = ()
        able = self._watch is not None and self._watch.able
        if able:
            doored = [queue for queue in self._busiest() if queue in queues]
            watched = [queue for queue in queues if queue not in doored]
        self._rest(through, [queue for queue in self._doors if queue not in doored], for_good=able)
        for queue in doored:
            if queue not in self._doors:
                self._doors[queue] = self._door(queue)
            self._doors[queue].arm()
            if not self._doors[queue].armed:
                break  # its connection could not be had: another one, which may take seconds, is for another turn
        return self.ask(watched)

    def ask(self, queues: Sequence[str]) -> bool:
        """Find out which of these are empty and watch them. False when one is not, or that cannot be told."""
        if self._watch is None or not self._watch.connected():
            return True
        try:
            all_empty = self._watch.ask(queues)
        except (redis.RedisError, OSError):
            self._watch.lose()
            return False
        self._watch.listen(on=True)
        return all_empty

    def rest(self, through: redis.Redis, *, insist: bool) -> None:
        """Wait for nothing for now. What comes to a queue that is watched is told later."""
        if self._watch:
            self._watch.listen(on=False)
        self._rest(through, list(self._doors), insist=insist)
        if insist:
            for door in self._leaving:
                _disarm(door, through)  # which also gives up one whose answer is overdue

    def rearm(self, queue: str) -> bool:
        """Wait for the next job of a queue whose doorbell has rung. Whether it is awaited."""
        self.changed(queue)
        door = self._doors.get(queue)
        if door is None:
            return False
        door.arm()
        return door.armed

    def fetch(self, queues: Sequence[str]) -> list[Claimed]:
        """One job from each of these, which the watch has told of. Raises redis.RedisError or OSError."""
        if self._watch is None:
            return []
        try:
            return self._watch.fetch(queues)
        except (redis.RedisError, OSError):
            self._watch.lose()  # what is answered too late must not be taken for the next answer
            raise

    def changed(self, queue: str) -> None:
        """A job has come there."""
        if self._watch is None:
            return
        now = time.monotonic()
        if now - self._cooled_at > COOLING:
            self._cooled_at = now
            self._changes = {one: changes / 2 for one, changes in self._changes.items() if changes > 1}
        self._changes[queue] = self._changes.get(queue, 0.0) + 1.0

    def look_after(self) -> None:
        """Now and then: is what is watched still watched?"""
        if self._watch:
            self._watch.look_after()
        for door in [door for door in self._leaving if door.parked]:
            self._leaving.remove(door)
            door.close()

    def parked(self) -> bool:
        """Whether none of the doorbells can bring anything any more."""
        return all(door.parked for door in (*self._doors.values(), *self._leaving))

    def close(self) -> None:
        """Hang up."""
        for door in (*self._doors.values(), *self._leaving):
            door.close()
        if self._watch:
            self._watch.close()

    def _busiest(self) -> list[str]:
        """Those that have a doorbell keep it while another is not clearly busier."""
        changes = self._changes
        often = [queue for queue in changes if changes[queue] >= OFTEN]
        return sorted(often, key=lambda queue: -changes[queue] * (2 if queue in self._doors else 1))[:BUSIEST]

    def _rest(
        self, through: redis.Redis, queues: Sequence[str], *, insist: bool = False, for_good: bool = False
    ) -> None:
        for queue in queues:
            door = self._doors[queue]
            if for_good:
                self._leaving.append(self._doors.pop(queue))
            if door.armed or (insist and not door.parked):
                _disarm(door, through)


def _disarm(door: Doorbell, through: redis.Redis) -> None:
    with suppress(redis.RedisError, OSError):  # it waits a few seconds longer; what it brings is put back
        door.disarm(through)

"""What each class did, minute by minute, for the Metrics page of Ruby's Web UI (WIRE.md §12).

Counted in memory by batch, written by the heartbeat in one pipeline, in the keys of every generation that has somebody
to read them.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import redis as redis_py

from pykiq.observe.counters import count
from pykiq.observe.observer import Kinds, Observer
from pykiq.records import Fate, Word
from pykiq.store.fleet import Fleet
from pykiq.wire import metrics
from pykiq.wire.dialect import for_fleet

MOST_CLASSES = 1000  # between two writes: a name comes from a payload, and each costs several keys
LONGEST_NAME = 200

_LASTED = frozenset({Word.DONE, Word.SNOOZED})  # only what succeeded has a duration, as in Ruby

Command = tuple[str | int, ...]


@dataclass(slots=True)
class Tally:
    """One class since the last write. `durations` is counter → jobs, `milliseconds` their sum."""

    processed: int = 0
    failed: int = 0
    milliseconds: int = 0
    durations: Counter[int] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        self.processed += other.processed
        self.failed += other.failed
        self.milliseconds += other.milliseconds
        self.durations.update(other.durations)


class History(Observer):
    """An observer that counts by class."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tallies: dict[str, Tally] = {}

    def counted(self, kinds: Kinds) -> None:
        """Count what ran. A job of a class without a handler did not, nor one that expired."""
        by_class: dict[tuple[str, Word, Fate], list[float]] = {}
        for (name, _, word, fate), seconds in kinds.items():  # whatever their queues
            by_class.setdefault((name, word, fate), []).extend(seconds)
        with self._lock:
            for (name, word, fate), seconds in by_class.items():
                each = count(word, fate)
                milliseconds = [one * 1000 for one in seconds if one]
                if not each.processed or not milliseconds:
                    continue
                tally = self._tally(name)
                if tally is None:
                    continue
                tally.processed += each.processed * len(milliseconds)
                tally.failed += each.failed * len(milliseconds)
                if word in _LASTED:
                    tally.milliseconds += sum(map(int, milliseconds))
                    tally.durations.update(metrics.buckets(milliseconds))

    def flush(self, redis: redis_py.Redis, generations: Iterable[int], now: float) -> None:
        """Write what was counted since the last time, in the keys of these major versions; with none it is forgotten.

        Raises redis.RedisError when Redis did not take it; the counts are then part of the next write.
        """
        with self._lock:
            tallies, self._tallies = self._tallies, {}
        sent = [one for generation in generations for one in commands(generation, tallies, now)]
        if not sent:
            return
        try:
            with redis.pipeline(transaction=False) as pipeline:
                for command in sent:
                    pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
                pipeline.execute()
        except BaseException:
            self._give_back(tallies)
            raise

    def _give_back(self, tallies: dict[str, Tally]) -> None:
        with self._lock:
            for name, tally in tallies.items():
                mine = self._tally(name)
                if mine is not None:
                    mine.add(tally)

    def _tally(self, name: str) -> Tally | None:
        """The class's; None for a name that would not be a field of its own, or is one too many."""
        tally = self._tallies.get(name)
        if tally is None and len(self._tallies) < MOST_CLASSES and 0 < len(name) <= LONGEST_NAME and "|" not in name:
            tally = self._tallies[name] = Tally()
        return tally


def generations(setting: str, fleet: Fleet) -> list[int]:
    """Whose keys are written: those of the `wire` setting, or of the Ruby processes seen; all while none is seen."""
    majors = {for_fleet([version]).major for version in fleet.versions} if setting == "auto" else {int(setting)}
    return [generation for generation in metrics.GENERATIONS if generation in majors or not majors]


def commands(generation: int, tallies: dict[str, Tally], now: float) -> list[Command]:
    """What writes these counts in the keys of one generation."""
    sent: list[Command] = []
    if not tallies:
        return sent
    for key, ttl in metrics.counters(generation, now):
        for name, tally in tallies.items():
            fields = (("ms", tally.milliseconds), ("p", tally.processed), ("f", tally.failed))
            sent += [("HINCRBY", key, f"{name}|{what}", number) for what, number in fields if number]
        sent.append(("EXPIRE", key, ttl))
    for name, tally in tallies.items():
        if tally.durations:
            key = metrics.histogram(generation, name, now)
            added = (part for index, jobs in tally.durations.items() for part in ("INCRBY", "u16", f"#{index}", jobs))
            sent += [("BITFIELD", key, "OVERFLOW", "SAT", *added), ("EXPIRE", key, metrics.TTL)]
    return sent

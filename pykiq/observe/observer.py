"""What an observer is told, a turn's worth of jobs at a time: which have started, which have ended and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pykiq.records import Fate, Foreign, Settled, Started, Takeover, Word


class Kind(NamedTuple):
    """What jobs that end alike have in common. `name` is their class; empty for bytes that are no job."""

    name: str
    queue: str
    word: Word
    fate: Fate


Kinds = Mapping[Kind, Sequence[float]]
"""The jobs of a batch by kind: how long each ran, in seconds; 0.0 for one that did not."""


class Observer:
    """Is told of batches; who derives from it overrides what it wants to hear.

    All are called on one thread, the reporter's, never on the loop that moves jobs.
    """

    def started(self, batch: Sequence[Started]) -> None:
        """These jobs have started, each at its time."""

    def settled(self, batch: Sequence[Settled]) -> None:
        """These jobs have ended, in this order."""

    def counted(self, kinds: Kinds) -> None:
        """The same jobs by kind, for who only counts them: most batches are of one kind."""

    def met(self, batch: Sequence[Foreign]) -> None:
        """Jobs without a handler here were passed over in shared queues."""

    def took_over(self, batch: Sequence[Takeover]) -> None:
        """These jobs were taken over from processes that died; `settled` has those of them that went to `dead` too."""


def by_kind(batch: Sequence[Settled]) -> Kinds:
    """Sort a batch by kind."""
    kinds: dict[Kind, list[float]] = {}
    for outcome, fate in batch:
        kind = (outcome.name, outcome.claimed.queue, outcome.word, fate)
        found = kinds.get(kind)  # type: ignore[call-overload]  # a tuple is its equal, and three times as quick to make
        if found is None:
            found = kinds[Kind(*kind)] = []
        found.append(outcome.elapsed)
    return kinds

"""What this process has processed and failed since its last beat (WIRE.md §11)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

from pykiq.records import Assigned, Fate, Settled, Word


class Counts(NamedTuple):
    """Jobs counted: every failed one is a processed one too."""

    processed: int = 0
    failed: int = 0


_NOTHING, _SUCCESS, _FAILURE = Counts(0, 0), Counts(1, 0), Counts(1, 1)
_UNCOUNTED_FATES = frozenset({Fate.HANDED_BACK, Fate.TAKEN_OVER})
_FAILURES = frozenset({Word.FAILED, Word.INTERRUPTED, Word.FOREIGN})
_UNREADABLE = Word.UNREADABLE


class Counters:
    """An observer that counts; the heartbeat takes the counts and sends them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processed = 0
        self._failed = 0

    def started(self, batch: Sequence[Assigned]) -> None:
        """Nothing: only ends are counted."""

    def settled(self, batch: Sequence[Settled]) -> None:
        processed = failed = 0
        for settled in batch:
            one_processed, one_failed = count(settled)
            processed += one_processed
            failed += one_failed
        with self._lock:
            self._processed += processed
            self._failed += failed

    def take(self) -> Counts:
        """The counts since the last call; from now on they are the caller's."""
        with self._lock:
            counts = Counts(self._processed, self._failed)
            self._processed = self._failed = 0
        return counts

    def give_back(self, counts: Counts) -> None:
        """Redis did not take them: they belong to the next beat."""
        with self._lock:
            self._processed += counts.processed
            self._failed += counts.failed


def count(settled: Settled) -> Counts:
    """How one job counts.

    A job put back at shutdown counts as processed and failed, as in Ruby [shutdown_requeue]; bytes that are not a job
    count as nothing. A job that is another process's by now is that process's to count. A class without a handler
    counts as a failure when the failure was recorded, and not at all when the job was left in its queue.
    """
    word = settled.outcome.word
    if settled.fate in _UNCOUNTED_FATES or word is _UNREADABLE:
        return _NOTHING
    return _FAILURE if word in _FAILURES else _SUCCESS

"""What this process has processed and failed since its last beat (WIRE.md §11)."""

from __future__ import annotations

import threading
from functools import cache
from typing import NamedTuple

from pykiq.observe.observer import Kinds, Observer
from pykiq.records import Fate, Word


class Counts(NamedTuple):
    """Jobs counted: every failed one is a processed one too."""

    processed: int = 0
    failed: int = 0


_UNCOUNTED_FATES = frozenset({Fate.HANDED_BACK, Fate.TAKEN_OVER})
_NEVER_RAN = frozenset({Word.UNREADABLE, Word.POISON})  # here; the runs of a poison pill ended with their processes
_FAILURES = frozenset({Word.FAILED, Word.INTERRUPTED, Word.FOREIGN})


class Counters(Observer):
    """An observer that counts; the heartbeat takes the counts and sends them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processed = 0
        self._failed = 0

    def counted(self, kinds: Kinds) -> None:
        processed = failed = 0
        for kind, jobs in kinds.items():
            each = count(kind.word, kind.fate)
            processed += each.processed * len(jobs)
            failed += each.failed * len(jobs)
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


@cache  # of two enumerations: a turn's jobs from many queues ask for each queue
def count(word: Word, fate: Fate) -> Counts:
    """How one job counts that ended so.

    A job put back at shutdown counts as processed and failed, as in Ruby [shutdown_requeue]; bytes that are not a job
    count as nothing. A job that is another process's by now is that process's to count. A class without a handler
    counts as a failure when the failure was recorded, and not at all when the job was left in its queue.
    """
    if fate in _UNCOUNTED_FATES or word in _NEVER_RAN:
        return Counts(0, 0)
    return Counts(1, 1) if word in _FAILURES else Counts(1, 0)

from __future__ import annotations

import threading

import pytest

from pykiq.observe.counters import Counters, Counts
from pykiq.observe.observer import by_kind
from pykiq.records import Fate, Word
from tests.observe.jobs import settled, started


@pytest.mark.parametrize(
    ("word", "fate", "processed", "failed"),
    [
        (Word.DONE, Fate.DONE, 1, 0),
        (Word.FAILED, Fate.RETRY, 1, 1),
        (Word.FAILED, Fate.DEAD, 1, 1),
        (Word.FAILED, Fate.DISCARDED, 1, 1),
        (Word.INTERRUPTED, Fate.REQUEUED, 1, 1),
        (Word.SNOOZED, Fate.SNOOZED, 1, 0),
        (Word.UNREADABLE, Fate.DEAD, 0, 0),
        (Word.POISON, Fate.DEAD, 0, 0),
        (Word.EXPIRED, Fate.EXPIRED, 1, 0),
        (Word.FOREIGN, Fate.HANDED_BACK, 0, 0),
        (Word.FOREIGN, Fate.RETRY, 1, 1),
        (Word.FOREIGN, Fate.DEAD, 1, 1),
        (Word.DONE, Fate.TAKEN_OVER, 0, 0),
        (Word.FAILED, Fate.TAKEN_OVER, 0, 0),
        (Word.INTERRUPTED, Fate.TAKEN_OVER, 0, 0),
    ],
)
def test_each_outcome_counts_as_ruby_counts_it(word: Word, fate: Fate, processed: int, failed: int) -> None:
    counters = Counters()
    counters.counted(by_kind([settled(word, fate)]))
    assert counters.take() == Counts(processed, failed)


def test_starting_a_job_counts_nothing() -> None:
    counters = Counters()
    counters.started([started()])
    assert counters.take() == Counts(0, 0)


def test_taking_the_counts_resets_them() -> None:
    counters = Counters()
    counters.counted(by_kind([settled(), settled(Word.FAILED, Fate.RETRY)]))
    assert counters.take() == Counts(2, 1)
    assert counters.take() == Counts(0, 0)


def test_counts_given_back_are_added_to_what_came_since() -> None:
    counters = Counters()
    counters.counted(by_kind([settled(Word.FAILED, Fate.RETRY)]))
    taken = counters.take()
    counters.counted(by_kind([settled()]))
    counters.give_back(taken)
    assert counters.take() == Counts(2, 1)


def test_no_count_is_lost_between_threads() -> None:
    counters = Counters()
    kinds = by_kind([settled(), settled(Word.FAILED, Fate.DEAD)])
    threads = [threading.Thread(target=lambda: [counters.counted(kinds) for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    taken = []
    while any(thread.is_alive() for thread in threads):
        taken.append(counters.take())
    taken.append(counters.take())
    assert sum(counts.processed for counts in taken) == 1600
    assert sum(counts.failed for counts in taken) == 800

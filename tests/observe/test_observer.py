from __future__ import annotations

from pykiq.observe.observer import Kind, by_kind
from pykiq.records import Fate, Word
from tests.observe.jobs import settled


def test_a_batch_is_sorted_by_class_queue_and_end() -> None:
    batch = [
        settled(name="A", elapsed=1.0),
        settled(name="A", elapsed=2.0),
        settled(name="A", queue="low"),
        settled(Word.FAILED, Fate.DEAD, name="B"),
        settled(Word.FAILED, Fate.RETRY, name="B"),
        settled(name="A", elapsed=3.0),
    ]
    kinds = by_kind(batch)
    assert [(kind.name, kind.queue, kind.word, kind.fate) for kind in kinds] == [
        ("A", "critical", Word.DONE, Fate.DONE),
        ("A", "low", Word.DONE, Fate.DONE),
        ("B", "critical", Word.FAILED, Fate.DEAD),
        ("B", "critical", Word.FAILED, Fate.RETRY),
    ]
    assert kinds[Kind("A", "critical", Word.DONE, Fate.DONE)] == [1.0, 2.0, 3.0]


def test_an_empty_batch_has_no_kinds() -> None:
    assert by_kind([]) == {}

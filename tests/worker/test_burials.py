"""What is done to jobs that nobody here runs is reported, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pykiq.records import Bury, Fate, Takeover, Word
from pykiq.store.due import Move
from pykiq.worker.burials import carry_out, poisoned, unusable
from tests.worker.stage import Reported, raw

PILL = Takeover("gone:1:x", "low", raw("Pill", 1), 1_700_000_000.0, b'{"class":"Pill"}')
BACK = Takeover("gone:1:x", "low", raw("Job", 2))


@pytest.mark.parametrize("error", [None, ConnectionError("away"), KeyboardInterrupt()])
def test_all_that_was_taken_over_is_reported_also_when_it_ends_badly(error: BaseException | None) -> None:
    def sweep() -> Iterator[Takeover]:
        yield PILL
        yield BACK
        if error is not None:
            raise error

    reported = Reported()
    if error is None:
        carry_out(sweep(), reported)
    else:
        with pytest.raises(type(error)):
            carry_out(sweep(), reported)
    assert reported.taken == [PILL, BACK]
    assert [one.outcome.jid for one in reported.settled] == [poisoned(PILL).outcome.jid]


def test_nothing_is_reported_of_nothing() -> None:
    def never(*_: object) -> None:
        raise AssertionError("nothing to report")

    carry_out([], never)


@pytest.mark.parametrize("bytes_", [PILL.raw, b"{broken", b"[1]", b'{"class":5,"jid":7}', b"\xff"])
def test_a_poison_pill_says_what_it_was_whatever_its_bytes(bytes_: bytes) -> None:
    outcome, fate = poisoned(PILL._replace(raw=bytes_))
    assert (outcome.word, outcome.write, fate, outcome.died) == (
        Word.POISON,
        Bury(b'{"class":"Pill"}'),
        Fate.DEAD,
        True,
    )
    assert (outcome.claimed.queue, outcome.claimed.raw) == ("low", bytes_)
    assert outcome.error_class == "pykiq.PoisonPill"
    assert "gone:1:x was the last" in (outcome.error_message or "")
    if bytes_ == PILL.raw:
        assert outcome.name == "Pill"


def test_a_due_entry_that_cannot_be_pushed_says_where_it_was_due_and_why() -> None:
    outcome, fate = unusable(Move("dead", b"[1]", entry=b"not a job: [1]", why="it is an array"), "schedule")
    assert (outcome.word, outcome.write, fate) == (Word.UNREADABLE, Bury(b"not a job: [1]"), Fate.DEAD)
    assert outcome.error_message == "due in `schedule`, and cannot be pushed: it is an array"

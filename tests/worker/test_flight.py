"""The book-keeping: what runs, what is to be settled, what may have been, and what nobody here knows of."""

from __future__ import annotations

import time
from typing import Any

import pytest
from redis.exceptions import ReadOnlyError

from pykiq.records import Acknowledge, Assigned, Fate, Outcome, PutBack, Settled, Word
from pykiq.store.bounded import Entry
from pykiq.store.claim import Held
from pykiq.worker.acknowledger import Answered
from pykiq.worker.flight import REST, Flight
from tests.worker.stage import claimed, raw


class FakePool:
    """Stands in for a pool: counts what ended in it."""

    def __init__(self) -> None:
        self.ends: list[Assigned] = []

    def ended(self, assigned: Assigned, outcome: Outcome) -> None:
        self.ends.append(assigned)


def assigned(number: int) -> Assigned:
    return Assigned(claimed(raw("Job", number)), {}, None, "Job", str(number))  # type: ignore[arg-type]


def held(payload: bytes, queue: str = "default") -> Held:
    return Held(queue, f"pykiq:inflight:me:{queue}", 0, Entry(payload))


def done(one: Assigned) -> Outcome:
    return Outcome(one.claimed, Word.DONE, Acknowledge(), "Job", one.jid)


def begun(*jobs: Assigned, **keys: Any) -> tuple[Flight, Any]:
    flight, pool = Flight(**keys), FakePool()
    flight.begin(pool, jobs)  # type: ignore[arg-type]
    return flight, pool


def test_a_job_runs_until_it_ends_and_is_held_until_it_is_settled() -> None:
    one = assigned(1)
    flight, pool = begun(one)
    assert (flight.running, len(flight)) == (1, 1)
    outcome = done(one)
    flight.end(outcome)
    assert pool.ends == [one]
    assert (flight.running, len(flight)) == (0, 1)
    [settled] = flight.answered(flight.batches(), [[1]])
    assert (settled.outcome, str(settled.fate)) == (outcome, "done")
    assert len(flight) == 0


def test_what_the_thread_that_ran_it_settles_is_held_until_that_is_answered() -> None:
    jobs = [assigned(number) for number in range(4)]
    flight, pool = begun(*jobs)
    good, lost, refused, untold = outcomes = [done(one) for one in jobs]
    for outcome in outcomes:
        flight.sent(outcome)
    assert pool.ends == jobs
    assert (flight.running, len(flight), flight.unsettled) == (0, 4, [])
    assert flight.unknown([held(one.claimed.raw) for one in jobs]) == []
    flight.heard(Answered([Settled(good, Fate.DONE)], [lost], [refused]))
    assert len(flight) == 3
    assert flight.unsettled == [lost, refused]
    assert [str(one.fate) for one in flight.answered(flight.batches(), [[0, 0]])] == ["done", "taken_over"]
    assert len(flight) == 1
    flight.heard(Answered([Settled(untold, Fate.TAKEN_OVER)]))
    assert len(flight) == 0


def test_what_was_put_back_at_the_deadline_counts_no_more_when_it_ends() -> None:
    one = assigned(1)
    flight, pool = begun(one)
    assert flight.abandon(1_795_315_635.0) is True
    assert [(ended.word, type(ended.write)) for ended in flight.unsettled] == [(Word.INTERRUPTED, PutBack)]
    flight.end(done(one))
    assert len(flight.unsettled) == 1
    assert pool.ends == []
    assert flight.abandon(1_795_315_635.0) is False


def test_a_refused_job_is_put_back_unstarted() -> None:
    one = assigned(1)
    flight, _ = begun(one)
    flight.refuse(one.claimed)
    flight.refuse(claimed(raw("Job", 2)))
    assert [ended.word for ended in flight.unsettled] == [Word.UNSTARTED] * 2
    assert flight.running == 0


def test_everything_is_settled_in_one_step_until_one_is_refused_and_then_job_by_job() -> None:
    jobs = [assigned(number) for number in range(3)]
    refused: list[str] = []
    flight, _ = begun(*jobs, refused=lambda outcome, error: refused.append(f"{outcome.jid}: {error}"))
    for one in jobs:
        flight.end(done(one))
    [batch] = flight.batches()
    assert len(list(batch)) == 3
    assert flight.answered([batch], [ValueError("refused")]) == []
    assert [len(list(one)) for one in flight.batches()] == [1, 1, 1]
    flight.answered(flight.batches(), [[1], ValueError("refused"), [1]])
    assert refused == ["1: refused"]
    assert (flight.batches(), flight.resting, len(flight)) == ([], 1, 1)
    last = assigned(9)
    flight.begin(FakePool(), [last])  # type: ignore[arg-type]
    flight.end(done(last))
    assert [[one.jid for one in batch] for batch in flight.batches()] == [["9"]], "the one at rest keeps none waiting"
    assert flight.unknown([held(jobs[1].claimed.raw)]) == [], "it is held here"


def test_a_refused_one_is_tried_again_after_its_rest_or_at_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    one = assigned(1)
    flight, _ = begun(one)
    flight.end(done(one))
    for _ in range(2):
        flight.answered(flight.batches(), [ValueError("refused")])
    flight.wake()
    assert flight.batches() == []
    flight.wake(all_of_them=True)
    assert len(flight.batches()) == 1
    flight.answered(flight.batches(), [ValueError("refused")])
    flight.answered(flight.batches(), [ValueError("refused")])
    assert flight.resting == 1
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + REST + 1)
    flight.wake()
    [settled] = flight.answered(flight.batches(), [[1]])
    assert (str(settled.fate), len(flight)) == ("done", 0)


def test_jobs_that_are_put_back_one_by_one_keep_their_order() -> None:
    """The last one written is the next to run."""
    one, *running = map(assigned, range(4))
    flight, _ = begun(one, *running)
    flight.end(done(one))
    for _ in range(2):
        flight.answered(flight.batches(), [ValueError("refused")])
    flight.abandon(time.time())
    flight.wake(all_of_them=True)
    assert [outcome.jid for batch in flight.batches() for outcome in batch if outcome.word is not Word.DONE] == [
        "3",
        "2",
        "1",
    ]


def test_what_a_server_refuses_to_everybody_does_not_rest_but_waits_for_better_times() -> None:
    one = assigned(1)
    flight, _ = begun(one)
    flight.end(done(one))
    for _ in range(3):
        flight.answered(flight.batches(), [ReadOnlyError("You can't write against a read only replica.")])
    assert (len(flight.batches()), flight.resting) == (1, 0)


def test_gone_from_in_flight_is_taken_over_unless_an_answer_was_lost() -> None:
    first, second = assigned(1), assigned(2)
    flight, _ = begun(first, second)
    flight.end(done(first))
    flight.unanswered(flight.batches())
    flight.end(done(second))
    settled = flight.answered(flight.batches(), [[0, 0]])
    assert [(one.outcome.jid, str(one.fate)) for one in settled] == [("1", "done"), ("2", "taken_over")]


def test_doubt_ends_with_the_answer() -> None:
    first, second = assigned(1), assigned(2)
    flight, _ = begun(first)
    flight.end(done(first))
    flight.unanswered(flight.batches())
    flight.answered(flight.batches(), [[1]])
    flight.begin(FakePool(), [second])  # type: ignore[arg-type]
    flight.end(done(second))
    assert [str(one.fate) for one in flight.answered(flight.batches(), [[0]])] == ["taken_over"]


def test_what_redis_holds_and_nobody_here_knows_is_unknown() -> None:
    runs, ended = assigned(1), assigned(2)
    flight, _ = begun(runs, ended)
    flight.end(done(ended))
    stranger, elsewhere = held(raw("Job", 3)), held(raw("Job", 1), "other")
    known = [held(raw("Job", number)) for number in (1, 2)]
    assert flight.unknown([*known, stranger, elsewhere]) == [stranger, elsewhere]


def test_of_equal_payloads_as_many_are_known_as_are_held_here() -> None:
    flight, _ = begun(assigned(1))
    twin = held(raw("Job", 1))
    assert flight.unknown([twin, twin, twin]) == [twin, twin]
    assert flight.unknown([twin]) == []


def test_what_is_put_back_at_the_deadline_is_told_with_how_long_it_ran() -> None:
    one = assigned(1)
    flight, _ = begun(one)
    flight.abandon(one.claimed.claimed_at + 3.5)
    assert flight.unsettled[0].elapsed == 3.5

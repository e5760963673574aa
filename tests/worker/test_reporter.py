"""The reporter: whatever a sink or a handler does, the next batch is told."""

from __future__ import annotations

import gc
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from pykiq.errors import PoisonPill, PykiqError, Unreadable
from pykiq.jobs.lifecycle import Lifecycle
from pykiq.observe.observer import Kinds, Observer
from pykiq.records import (
    Acknowledge,
    Assigned,
    Bury,
    Fate,
    Foreign,
    Outcome,
    PutBack,
    Raised,
    Settled,
    Started,
    Takeover,
    Word,
)
from pykiq.worker.reporter import Reporter
from tests.servers import wait_until
from tests.worker.stage import claimed, raw, threads_here


class Recording(Observer):
    def __init__(self, error: BaseException | None = None) -> None:
        self.batches: list[tuple[str, int]] = []
        self.error = error

    def started(self, batch: Sequence[Started]) -> None:
        self.batches.append(("started", len(batch)))
        if self.error:
            raise self.error

    def settled(self, batch: Sequence[Settled]) -> None:
        self.batches.append(("settled", len(batch)))
        if self.error:
            raise self.error

    def counted(self, kinds: Kinds) -> None:
        self.batches.append(("counted", sum(map(len, kinds.values()))))

    def met(self, batch: Sequence[Foreign]) -> None:
        self.batches.append(("met", len(batch)))
        if self.error:
            raise self.error

    def took_over(self, batch: Sequence[Takeover]) -> None:
        self.batches.append(("took_over", len(batch)))
        if self.error:
            raise self.error


def started() -> Started:
    return Assigned(claimed(raw("Job")), {}, None, "Job", "x"), time.time()  # type: ignore[arg-type]


def settled(error: BaseException | None = None, fate: Fate = Fate.DEAD, *, died: bool = False) -> Settled:
    raised = Raised({"jid": "x"}, error) if error is not None else None
    outcome = Outcome(claimed(raw("Job")), Word.FAILED, Bury(b"{}"), "Job", "x", died=died, raised=raised)
    return Settled(outcome, fate)


@pytest.fixture
def hooks() -> Lifecycle:
    return Lifecycle()


@pytest.fixture
def recording() -> Recording:
    return Recording()


@pytest.fixture
def reporter(recording: Recording, hooks: Lifecycle) -> Iterator[Reporter]:
    made = Reporter([recording], hooks)
    made.start()
    yield made
    made.close(5)


def test_batches_are_told_in_order_and_empty_halves_not_at_all(reporter: Reporter, recording: Recording) -> None:
    reporter([started(), started()], [])
    wait_until(lambda: recording.batches == [("started", 2)])
    reporter([], [settled()])
    wait_until(lambda: recording.batches == [("started", 2), ("settled", 1), ("counted", 1)])


def test_what_comes_while_it_tells_is_told_together(recording: Recording, hooks: Lifecycle) -> None:
    made = Reporter([recording], hooks)
    for _ in range(3):
        made([started()], [settled()])
    made.start()
    wait_until(lambda: recording.batches == [("started", 3), ("settled", 3), ("counted", 3)])
    made.close(5)


def test_closing_tells_what_is_left(recording: Recording, hooks: Lifecycle) -> None:
    made = Reporter([recording], hooks)
    made.start()
    for _ in range(100):
        made([], [settled()])
    made.close(5)
    assert sum(jobs for what, jobs in recording.batches if what == "settled") == 100
    assert sum(jobs for what, jobs in recording.batches if what == "counted") == 100
    assert "pykiq-reporter" not in {thread.name for thread in threads_here()}


@pytest.mark.parametrize("error", [ValueError("broken sink"), SystemExit(1), KeyboardInterrupt()])
def test_an_observer_that_raises_stops_no_other_and_no_later_batch(error: BaseException, hooks: Lifecycle) -> None:
    broken, fine = Recording(error), Recording()
    observers: list[Observer] = [broken, fine]
    made = Reporter(observers, hooks)
    made.start()
    for number in range(1, 4):
        made([started()], [settled()])
        wait_until(lambda number=number: fine.batches == [("started", 1), ("settled", 1), ("counted", 1)] * number)  # type: ignore[misc]
    made.close(5)
    assert len(broken.batches) == 3, "its own half of the batch is lost, no more"


def test_foreign_jobs_are_told_whatever_one_observer_raises(hooks: Lifecycle) -> None:
    broken, fine = Recording(ValueError("broken sink")), Recording()
    made = Reporter([broken, fine], hooks)
    made.start()
    for _ in range(2):
        made([], [], [Foreign("default", {"Ruby::Job": 1}, {})])
    made.close(5)
    assert broken.batches == fine.batches
    assert sum(jobs for _, jobs in fine.batches) == 2


def test_death_handlers_come_before_error_handlers(reporter: Reporter, hooks: Lifecycle) -> None:
    told: list[Any] = []
    error = ValueError("boom")

    @hooks.death_handler
    def death(job: Mapping[str, Any], raised: BaseException) -> None:
        told.append(("death", job["jid"], raised))

    @hooks.error_handler
    def failure(raised: BaseException, context: Mapping[str, Any]) -> None:
        told.append(("error", context["job"]["jid"], context["queue"], raised))

    reporter([], [settled(error, died=True), settled(error, Fate.RETRY), settled(fate=Fate.RETRY)])
    wait_until(lambda: len(told) == 3)
    assert told == [("death", "x", error), ("error", "x", "default", error), ("error", "x", "default", error)]


ENTRY = b'{"class":"Job","jid":"x","args":[1],"error_class":"E"}'
BYTES = b"not a job: [1]"
STANDS_IN = {"class": "?", "jid": "", "queue": "default", "args": [], "raw": BYTES}


@pytest.mark.parametrize(
    ("word", "entry", "kind", "job"),
    [
        (Word.POISON, ENTRY, PoisonPill, {"class": "Job", "jid": "x", "args": [1], "error_class": "E"}),
        (Word.POISON, BYTES, PoisonPill, STANDS_IN),
        (Word.UNREADABLE, BYTES, Unreadable, STANDS_IN),
        (Word.UNREADABLE, b'{"args":{}}', Unreadable, {"args": {}}),
        (Word.FAILED, ENTRY, PykiqError, {"class": "Job", "jid": "x", "args": [1], "error_class": "E"}),
    ],
)
def test_whatever_went_to_dead_is_told_to_death_and_error_handlers(
    reporter: Reporter, hooks: Lifecycle, word: Word, entry: bytes, kind: type[Exception], job: dict[str, Any]
) -> None:
    told: list[Any] = []
    hooks.death_handler(lambda job, error: told.append(("death", job, type(error), str(error))))
    hooks.error_handler(lambda error, context: told.append(("error", context["job"], type(error), context["queue"])))
    outcome = Outcome(claimed(BYTES), word, Bury(entry), error_message="why")
    reporter([], [Settled(outcome, Fate.DEAD)])
    wait_until(lambda: len(told) == 2)
    assert told == [("death", job, kind, "why"), ("error", job, kind, "default")]


@pytest.mark.parametrize("fate", sorted(set(Fate) - {Fate.DEAD}))
def test_what_did_not_go_to_dead_and_did_not_raise_is_told_to_nobody(
    reporter: Reporter, hooks: Lifecycle, fate: Fate
) -> None:
    told: list[Any] = []
    hooks.death_handler(lambda job, error: told.append(job))
    hooks.error_handler(lambda error, context: told.append(error))
    reporter([], [Settled(Outcome(claimed(ENTRY), Word.UNREADABLE, PutBack()), fate)])
    reporter.close(5)
    assert told == []


def test_takeovers_are_told_whatever_one_observer_raises(hooks: Lifecycle) -> None:
    broken, fine = Recording(ValueError("broken sink")), Recording()
    made = Reporter([broken, fine], hooks)
    made.start()
    for _ in range(2):
        made([], [], (), [Takeover("gone:1:x", "default", b"{}")])
    made.close(5)
    assert broken.batches == fine.batches
    assert sum(jobs for _, jobs in fine.batches) == 2


def test_nobody_is_told_of_a_job_that_another_process_has(reporter: Reporter, hooks: Lifecycle) -> None:
    told: list[Any] = []
    hooks.death_handler(lambda job, error: told.append(job))
    hooks.error_handler(lambda error, context: told.append(error))
    reporter([], [settled(ValueError("boom"), Fate.TAKEN_OVER, died=True)])
    reporter.close(5)
    assert told == []


def test_a_handler_that_exits_stops_no_other(reporter: Reporter, hooks: Lifecycle) -> None:
    told: list[str] = []

    @hooks.error_handler
    def exits(error: BaseException, context: Mapping[str, Any]) -> None:
        told.append(str(error))
        sys.exit(1)

    reporter([], [settled(ValueError("one")), settled(ValueError("two"))])
    reporter([], [settled(ValueError("three"))])
    wait_until(lambda: told == ["one", "two", "three"])


def test_nothing_reported_is_kept_until_the_next_batch(reporter: Reporter, hooks: Lifecycle) -> None:
    class Precious(Exception):
        pass

    told: list[str] = []
    hooks.error_handler(lambda error, context: told.append(type(error).__name__))
    error = Precious()
    reference = weakref.ref(error)
    reporter([started()], [settled(error), settled(error)])
    del error
    wait_until(lambda: len(told) == 2)
    gc.disable()  # without a collection first, which would free what other tests have left, and complain of it here
    try:
        wait_until(lambda: reference() is None, 2, "the exception to be freed")
    finally:
        gc.enable()


def test_taking_a_batch_never_blocks(hooks: Lifecycle) -> None:
    gate = threading.Event()

    class Hanging(Recording):
        def settled(self, batch: Sequence[Settled]) -> None:
            gate.wait(10)

    made = Reporter([Hanging()], hooks)
    made.start()
    done = Settled(Outcome(claimed(b"{}"), Word.DONE, Acknowledge()), Fate.DONE)
    for _ in range(10_000):
        made([], [done])
    gate.set()
    made.close(10)


def test_error_handlers_hear_of_the_jobs_own_hooks_that_raised(reporter: Reporter, hooks: Lifecycle) -> None:
    told: list[tuple[str, str]] = []
    hooks.error_handler(lambda error, context: told.append((type(error).__name__, context["context"])))
    one = settled(ValueError())
    broken = one.outcome._replace(broken_hooks=(("Job.retry_in", KeyError()),))
    reporter([], [one._replace(outcome=broken)])
    wait_until(lambda: told == [("KeyError", "Job.retry_in"), ("ValueError", "job")])

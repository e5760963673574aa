"""The intake: which claim is worth sending, and when to wait for the bell instead."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import ANY

import pytest
from redis.exceptions import ResponseError

from pykiq.config import Capsule
from pykiq.records import Claimed
from pykiq.store.claim import LARGE
from pykiq.worker.bells import Bells
from pykiq.worker.intake import FEW, REFUSAL, Claim, Intake
from pykiq.worker.selective import Selective
from tests.store.jobs import berth

RNG = random.Random(1)
NO_BELLS = Bells([], lambda queue: pytest.fail(queue), None)


class Door:
    """Stands in for a doorbell."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self.armed = False
        self.parked = True
        self.told: list[str] = []

    def arm(self) -> None:
        self.armed, self.parked = True, False
        self.told.append("arm")

    def disarm(self, through: object) -> None:
        self.armed = False
        self.told.append("disarm")

    def close(self) -> None:
        self.told.append("close")


def intake(*queues: str) -> tuple[Intake, list[Door]]:
    place = berth(*queues)
    doors = [Door(queue) for queue in queues]
    known: Callable[[], list[str]] = lambda: ["Mine"]  # noqa: E731
    capsule = Capsule(queues=tuple((queue, 0) for queue in queues))
    made = Bells(queues, lambda queue: next(door for door in doors if door.queue == queue), None)  # type: ignore[arg-type,return-value]
    return Intake(capsule, place, made, Selective(place, known)), doors


def sent(made: Intake, room: int = 5) -> Claim:
    claim = made.claim(room, RNG)
    assert claim is not None
    return claim


def test_a_claim_asks_for_the_room_there_is() -> None:
    made, _ = intake("a")
    assert sent(made, 7).room == 7
    assert made.claim(0, RNG) is None


def test_after_a_short_claim_it_waits_for_the_bell() -> None:
    made, [door] = intake("a")
    made.read(sent(made, 3), [1, b"{}"])
    assert made.dry
    assert made.claim(3, RNG) is None
    assert not made.expects_jobs()
    made.wait(None, open_to_work=True)  # type: ignore[arg-type]
    assert door.armed


def test_after_a_full_claim_it_claims_again() -> None:
    made, [door] = intake("a")
    made.read(sent(made, 1), [1, b"{}"])
    assert not made.dry
    made.wait(None, open_to_work=True)  # type: ignore[arg-type]
    assert door.told == []


def test_after_a_bell_that_could_not_be_armed_the_others_are_for_another_turn() -> None:
    """Each may take a second to find out that Redis is away, and the exchange would turn no more meanwhile."""
    made, doors = intake("a", "b", "c")
    made.read(sent(made), [])
    doors[1].arm = lambda: doors[1].told.append("failed")  # type: ignore[method-assign]
    made.wait(None, open_to_work=True)  # type: ignore[arg-type]
    assert [door.told for door in doors] == [["arm"], ["failed"], []]


def test_without_a_free_slot_the_bells_are_taken_down() -> None:
    made, doors = intake("a", "b")
    made.read(sent(made), [])
    made.wait(None, open_to_work=True)  # type: ignore[arg-type]
    assert not made.parked()
    made.wait(None, open_to_work=False)  # type: ignore[arg-type]
    assert [door.told for door in doors] == [["arm", "disarm"]] * 2


def test_who_has_not_let_go_is_told_again_only_on_insistence() -> None:
    made, [door] = intake("a")
    door.parked = False
    made.wait(None, open_to_work=False)  # type: ignore[arg-type]
    assert door.told == []
    made.wait(None, open_to_work=False, insist=True)  # type: ignore[arg-type]
    assert door.told == ["disarm"]


def by_transaction(claim: Claim) -> bool:
    return claim.call.script is None and claim.call.before[0] == ("MULTI",)


def by_moves(claim: Claim) -> bool:
    return claim.call.script is None and not by_transaction(claim)


def script_answer(*jobs: tuple[int, bytes]) -> list[Any]:
    """What the script returns for jobs, each from the queue with that number."""
    return [part for job in jobs for part in job]


def transaction_answer(claim: Claim, *jobs: bytes) -> list[Any]:
    """What the transaction returns when it finds these jobs and then no more."""
    nils = [None] * (claim.room - len(jobs))
    return [b"OK", *[b"QUEUED"] * (claim.room + 2), [b"OK", 0, *jobs, *nils]]


def large(*queues: str) -> Intake:
    """An intake whose jobs have been large of late."""
    made, _ = intake(*queues)
    made.job_size = 2.0 * LARGE
    return made


JOB = b"x" * 2 * LARGE


MANY = FEW + 2


def found(claim: Claim, *jobs: bytes) -> list[Any]:
    """What Redis answers to a claim from one queue, in whichever form that is, when it finds these jobs and no more."""
    if by_moves(claim):
        return [*jobs, *[None] * (claim.room - len(jobs))]
    return transaction_answer(claim, *jobs) if by_transaction(claim) else script_answer(*((1, job) for job in jobs))


def test_many_small_jobs_are_claimed_by_the_script() -> None:
    made, _ = intake("a")
    for _ in range(30):
        claim = sent(made, MANY)
        assert claim.call.script
        made.read(claim, script_answer(*[(1, b"{}")] * MANY))


def test_a_few_jobs_are_moved_one_by_one_while_the_lease_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = intake("a")
    claim = sent(made, 2)
    assert claim.call.script, "the first claim renews the lease"
    made.read(claim, found(claim, b"1", b"2"))
    claim = sent(made, 2)
    assert list(claim.call.before) == [("LMOVE", "queue:a", berth("a").inflight("a"), "RIGHT", "LEFT")] * 2
    assert [one.raw for one in made.read(claim, [b"3", b"4"])] == [b"3", b"4"]
    assert not made.dry
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 3600)
    assert sent(made, 2).call.script, "it may have run out by now"


def test_a_move_that_finds_nothing_ends_the_claims_from_one_queue_and_not_from_two() -> None:
    for queues, dry in ((["a"], True), (["a", "b"], False)):
        made, _ = intake(*queues)
        claim = sent(made, 1)
        made.read(claim, script_answer((1, b"1")))
        claim = sent(made, 2)
        assert by_moves(claim)
        assert [one.raw for one in made.read(claim, [b"2", None])] == [b"2"]
        assert made.dry is dry


def test_after_moves_that_were_refused_the_script_claims() -> None:
    made, _ = intake("a")
    made.read(sent(made, 1), script_answer((1, b"1")))
    claim = sent(made, 1)
    assert by_moves(claim)
    assert not made.refused(claim, ResponseError("OOM command not allowed"))
    assert sent(made, 1).call.script


def test_jobs_that_arrive_one_by_one_are_left_to_the_bell() -> None:
    made, _ = intake("a")
    made.dry = True
    made.tripped(0.0002)
    for waited in (0.2, 0.0003, 0.05, 0.0003, 1.0, 0.001, 0.001, 0.001):
        made.rang(waited)
        assert made.dry


def test_after_two_jobs_that_had_been_there_a_few_more_are_claimed_and_then_twice_as_many() -> None:
    made, _ = intake("a")
    made.read(sent(made, 1), script_answer((1, b"1")))
    made.dry = True
    made.tripped(0.0002)
    made.rang(0.0003)
    assert made.dry
    made.rang(0.0003)
    rooms = []
    for _ in range(7):
        claim = sent(made, 1000)
        rooms.append(claim.room)
        made.read(claim, found(claim, *[b"{}"] * claim.room))
    assert rooms == [4, 8, 16, 32, 64, 1000, 1000]


def test_a_bell_is_armed_again_only_while_there_is_nothing_to_claim() -> None:
    made, [door] = intake("a")
    assert not made.rearm("a"), "claims go first"
    assert not door.armed
    made.dry = True
    assert made.rearm("a")
    assert door.armed


def test_once_jobs_are_large_a_transaction_claims_them_until_they_are_small_again() -> None:
    made, _ = intake("a")
    claim = sent(made, MANY)
    while not by_transaction(claim):
        made.read(claim, found(claim, *[JOB] * MANY))
        claim = sent(made, MANY)
    assert made.job_size > LARGE
    assert made.read(claim, found(claim, *[JOB] * MANY)) == [Claimed("a", JOB, ANY)] * MANY
    claim = sent(made, MANY)
    assert by_transaction(claim)
    while by_transaction(claim):
        made.read(claim, found(claim, *[b"{}"] * MANY))
        claim = sent(made, MANY)
    assert made.job_size < LARGE


def test_a_transaction_that_comes_back_short_does_not_end_the_claims() -> None:
    made = large("a", "b")
    made.read(sent(made, 1), script_answer((1, JOB)))
    claim = sent(made, MANY)
    made.read(claim, transaction_answer(claim, *[JOB] * 3))
    assert not made.dry
    claim = sent(made, MANY)
    assert by_transaction(claim)
    made.read(claim, transaction_answer(claim, JOB))
    assert not made.dry
    claim = sent(made, MANY)
    assert claim.call.script, "it can tell whether another queue has jobs"
    made.read(claim, script_answer((1, JOB)))
    assert made.dry


def test_after_a_transaction_that_was_refused_the_script_claims_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    made = large("a")
    made.read(sent(made, 1), script_answer((1, JOB)))
    claim = sent(made, MANY)
    assert by_transaction(claim)
    assert not made.refused(claim, ResponseError("MULTI is refused"))
    for _ in range(3):
        claim = sent(made, MANY)
        assert claim.call.script
        made.read(claim, script_answer(*[(1, JOB)] * MANY))
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + REFUSAL + 1)
    assert by_transaction(sent(made, MANY))


def test_while_the_queue_that_comes_first_is_empty_the_script_claims_from_the_others() -> None:
    made = large("a", "b")
    for _ in range(5):
        claim = sent(made, MANY)
        assert not by_transaction(claim)
        made.read(claim, script_answer(*[(2, JOB)] * MANY))
    made.read(sent(made, 2), script_answer(*[(1, JOB)] * MANY))
    assert by_transaction(sent(made, MANY))


def test_of_weighted_queues_a_transaction_claims_while_most_of_the_weight_is_not_empty() -> None:
    place = berth("a", "b", "c")
    made = Intake(Capsule(queues=(("a", 1), ("b", 6), ("c", 3))), place, NO_BELLS, Selective(place, lambda: ["Mine"]))
    made.job_size = 2.0 * LARGE
    claim = sent(made, MANY)
    assert claim.order.queues == ("b", "c", "a")
    made.read(claim, [*script_answer(*[(2, JOB)] * MANY), 0, 4])
    assert not by_transaction(sent(made, MANY)), "the heaviest is empty"
    made.read(claim, [*script_answer(*[(1, JOB)] * MANY), 0, 9])
    assert by_transaction(sent(made, MANY))


def test_a_shared_queue_is_looked_through_in_turn_with_the_plain_ones() -> None:
    made, _ = intake("a", "shared")
    made.selective.found_foreign("shared", "Ruby::Job")
    claims = [sent(made) for _ in range(4)]
    assert [claim.looks_at for claim in claims] == ["shared", None, "shared", None]
    plain: Any = claims[1].call.keys
    assert "queue:a" in plain
    assert "queue:shared" not in plain


def test_a_shared_queue_has_no_bell() -> None:
    made, [plain, shared] = intake("a", "shared")
    made.selective.found_foreign("shared", "Ruby::Job")
    made.dry = True
    made.wait(None, open_to_work=True)  # type: ignore[arg-type]
    assert (plain.armed, shared.armed) == (True, False)


def test_when_all_queues_are_shared_only_looks_are_sent() -> None:
    made, _ = intake("shared")
    made.selective.found_foreign("shared", "Ruby::Job")
    assert sent(made).looks_at == "shared"
    assert made.claim(5, RNG) is None
    assert made.dry
    assert sent(made).looks_at == "shared"


def test_nothing_is_claimed_from_a_paused_queue_and_its_bell_is_taken_down() -> None:
    made, [a, b] = intake("a", "b")
    made.dry = True
    made.wait(None, open_to_work=True)  # type: ignore[arg-type]
    made.pause(frozenset({"a"}))
    assert [key for key in sent(made).call.keys if str(key).startswith("queue:")] == ["queue:b"]
    made.dry = True
    made.wait(None, open_to_work=True)  # type: ignore[arg-type]
    assert (a.armed, b.armed) == (False, True)


def test_with_every_queue_paused_it_waits_until_one_is_not() -> None:
    made, [a, _] = intake("a", "b")
    made.pause(frozenset({"a", "b", "elsewhere"}))
    assert made.claim(5, RNG) is None
    assert made.dry
    made.wait(None, open_to_work=True)  # type: ignore[arg-type]
    assert not a.armed
    made.pause(frozenset())
    assert made.expects_jobs()
    assert sent(made).room == 5


def test_a_shared_queue_that_is_paused_is_not_looked_through() -> None:
    made, _ = intake("a", "b")
    made.selective.found_foreign("a", "Ruby::Job")
    assert sent(made).looks_at == "a"
    made.pause(frozenset({"a"}))
    assert sent(made).looks_at is None
    assert made.selective.next_look() is None
    made.pause(frozenset())
    assert made.selective.next_look() is not None

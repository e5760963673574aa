"""A pool: threads and tasks count against one concurrency, and what has not started can be recalled."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pykiq.config import Capsule
from pykiq.records import Assigned, Outcome, Started
from pykiq.worker.bells import Bells
from pykiq.worker.inbox import Inbox
from pykiq.worker.intake import Intake
from pykiq.worker.loopslots import LoopThread
from pykiq.worker.pool import Pool
from pykiq.worker.selective import Selective
from tests.servers import wait_until
from tests.store.jobs import berth
from tests.worker.stage import claimed, executor, raw, registry


class Bench:
    def __init__(self, concurrency: int) -> None:
        self.gate = threading.Event()
        self.loop = LoopThread()
        self.inbox: Inbox[Any] = Inbox()
        self.executor = executor(registry(Job=self._job, Task=self._task), loop=self.loop)
        intake = Intake(Capsule(), berth(), Bells([], lambda queue: pytest.fail(queue), None), Selective(berth(), list))
        self.pool = Pool("bench", concurrency, intake, self.executor, self.loop, self.inbox)
        self.outcomes: list[Outcome] = []

    def _job(self, number: int) -> None:
        self.gate.wait(5)

    async def _task(self, number: int) -> None:
        while not self.gate.is_set():
            await asyncio.sleep(0.001)

    def jobs(self, *names: str) -> list[Assigned]:
        made = [self.executor.assign(claimed(raw(name, number))) for number, name in enumerate(names)]
        return [one for one in made if isinstance(one, Assigned)]

    def running(self) -> list[str]:
        return sorted(assigned.name for _, assigned, _ in self.pool.running())

    def collect(self) -> None:
        """What the exchange does between two turns."""
        by_id = {id(one.claimed): one for one in self.given}
        for outcome in self.inbox.take():
            self.outcomes.append(outcome)
            self.pool.ended(by_id[id(outcome.claimed)], outcome)
        self.pool.take_started()
        self.pool.turned(time.monotonic(), 0.001)

    def start(self, *names: str) -> None:
        self.given = self.jobs(*names)
        self.pool.start(self.given)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench(3)
    yield made
    made.gate.set()
    made.pool.close()
    made.loop.close()


def test_jobs_of_both_kinds_share_the_slots(bench: Bench) -> None:
    bench.start("Job", "Task", "Job", "Task", "Job", "Task")
    wait_until(lambda: len(bench.running()) == 3)
    assert bench.running() == ["Job", "Job", "Task"]
    assert (bench.pool.busy, bench.pool.waiting) == (6, 3)
    assert not bench.pool.has_free_slot
    bench.gate.set()
    wait_until(lambda: bench.collect() or len(bench.outcomes) == 6)
    assert (bench.pool.busy, bench.pool.waiting, bench.pool.room) == (0, 0, 3 + bench.pool.lookahead.jobs)
    assert bench.pool.untold == 0


def test_room_is_what_is_free(bench: Bench) -> None:
    assert bench.pool.room == 3
    bench.start("Job", "Task")
    assert bench.pool.room == 1
    assert bench.pool.has_free_slot


def test_one_turn_claims_what_is_free_or_half_of_the_look_ahead_and_then_another_is_wanted(bench: Bench) -> None:
    assert bench.pool.portion == 3
    bench.pool.lookahead.jobs = 4
    assert bench.pool.portion == 3
    bench.pool.lookahead.jobs = 20
    assert (bench.pool.room, bench.pool.portion) == (23, 10)
    bench.start(*["Job"] * 10)
    assert (bench.pool.room, bench.pool.portion) == (13, 10)
    assert bench.pool.wants_more()
    bench.start(*["Job"] * 10)
    assert (bench.pool.room, bench.pool.portion) == (3, 3)
    assert not bench.pool.wants_more()


def test_those_claimed_last_are_recalled_first_and_what_runs_stays(bench: Bench) -> None:
    bench.start(*["Job"] * 6)
    wait_until(lambda: len(bench.running()) == 3)
    recalled = bench.pool.recall(2)
    assert recalled == [bench.given[5], bench.given[4]]
    assert bench.pool.busy == 4
    assert bench.pool.recall(10) == [bench.given[3]]
    assert bench.pool.recall(10) == []
    assert len(bench.running()) == 3


def test_a_recalled_job_never_runs(bench: Bench) -> None:
    bench.start(*["Job"] * 3, *["Task"] * 3)
    wait_until(lambda: len(bench.running()) == 3)
    recalled = bench.pool.recall(3)
    assert len(recalled) == 3
    bench.gate.set()
    wait_until(lambda: bench.collect() or bench.pool.busy == 0)
    assert {id(outcome.claimed) for outcome in bench.outcomes}.isdisjoint({id(one.claimed) for one in recalled})


def test_waiting_behind_slow_jobs_is_a_stall(bench: Bench) -> None:
    bench.start(*["Job"] * 5)
    bench.pool.take_started()
    assert not bench.pool.stalled()
    wait_until(lambda: bench.pool.take_started() == [] and bench.pool.stalled(), 40 * bench.pool.lookahead.patience)
    bench.pool.recall(2)
    assert not bench.pool.stalled(), "nothing waits any more"


def test_what_has_started_during_a_long_turn_is_no_stall(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn in which the whole process stood still ends with starts that nobody has been told of yet."""
    bench.start(*["Job"] * 5)
    wait_until(lambda: len(bench.pool.threads.started) == 3)
    later = time.monotonic() + 1
    monkeypatch.setattr("pykiq.worker.pool.time.monotonic", lambda: later)
    assert not bench.pool.stalled()
    assert len(bench.pool.take_started()) == 3
    later += 1
    assert bench.pool.stalled()


def test_more_jobs_behind_the_slots_than_soon_start_are_a_stall_although_some_jobs_move(bench: Bench) -> None:
    """At 100 a second two of them start within the time that jobs may wait, thirty do not."""
    for turn in range(1, 200):
        bench.pool.lookahead.measured(turn * 0.1, 10, 0.01, 0.001, 200)
    bench.start(*["Job"] * 5)
    assert not bench.pool.stalled()
    bench.pool.start(bench.jobs(*["Job"] * 28))
    wait_until(lambda: len(bench.pool.threads.started) == 3)
    assert bench.pool.stalled()


def test_each_start_is_told_once(bench: Bench) -> None:
    bench.start("Job", "Task")
    told: list[Started] = []
    wait_until(lambda: told.extend(bench.pool.take_started()) or len(told) == 2)
    assert sorted(assigned.name for assigned, _ in told) == ["Job", "Task"]
    assert bench.pool.take_started() == []

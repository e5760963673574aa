"""Workers that are frozen until their lease is over, and thawed, and workers that are restarted politely under load."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable

import pytest
import redis

from tests.chaos.fleet import HASTY, Fleet, account, finish, in_flight, left, mixed, moments, payload, portions, push
from tests.servers import wait_until

JOBS = 1000


@pytest.mark.parametrize("ending", ["done", "raise", "snooze"])
def test_what_was_taken_over_from_a_frozen_process_is_not_settled_by_it_when_it_thaws(
    crew: Fleet, store: redis.Redis, ending: str, say: Callable[[object], None]
) -> None:
    push(store, [payload(number, "HeldJob", ending) for number in range(4)])
    frozen = crew.start("-c", "4", settings=HASTY).ready()
    wait_until(lambda: len(crew.ledger.count("held")) == 4, 10, "four jobs running")
    frozen.signal(signal.SIGSTOP)
    heir = crew.start("-c", "4", settings=HASTY).ready()
    wait_until(lambda: len(crew.ledger.count()) == 4, 20, "the frozen process's jobs done elsewhere")
    finish(store)
    frozen.signal(signal.SIGCONT)
    (crew.folder / "release").touch()
    wait_until(lambda: len(crew.ledger.count("released")) == 4, 10, "the thawed process at the end of its jobs")
    assert frozen.stop() == 0
    assert heir.stop() == 0
    fates = [line.get("next") for line in frozen.events() if line["event"] in ("done", "fail", "snoozed")]
    say(f"the thawed process said: {sorted(set(map(str, fates)))}")
    assert fates == ["taken over by another process: nothing written"] * 4
    assert [store.zcard(key) for key in ("retry", "schedule", "dead")] == [0, 0, 0]
    assert left(store) == 0
    assert in_flight(store) == []


def test_a_process_that_is_frozen_and_thawed_again_and_again_loses_nothing(
    crew: Fleet, store: redis.Redis, rng: random.Random, say: Callable[[object], None]
) -> None:
    workers = [crew.start("-c", "2", settings=HASTY).ready() for _ in range(2)]
    freezes, moment = 5, moments(rng, 0.05, 0.4)
    for number, portion in enumerate(portions(mixed(JOBS, rng), freezes)):
        push(store, portion)
        moment()
        worker = workers[number % 2]
        worker.signal(signal.SIGSTOP)
        wait_until(lambda worker=worker: not worker.leased(store), 10, "the end of its lease")  # type: ignore[misc]
        time.sleep(rng.uniform(0.2, 0.6))  # and past a sweep
        worker.signal(signal.SIGCONT)
    finish(store)
    report = account(store, crew.ledger, JOBS)
    say(f"{report}, {freezes} times frozen past the lease")
    assert report.lost == []
    assert [worker.stop() for worker in workers] == [0, 0]
    assert in_flight(store) == []


def test_a_rolling_restart_under_load_loses_nothing_leaves_nothing_in_flight_and_exits_with_zero(
    crew: Fleet, store: redis.Redis, rng: random.Random, say: Callable[[object], None]
) -> None:
    push(store, [*mixed(JOBS, rng), *(payload(JOBS + number, "QuickJob", 1.5) for number in range(5))])
    options = ("-c", "4", "-t", "1")
    moment, codes = moments(rng, 0.0, 0.3), []
    worker = crew.start(*options).ready()
    for _ in range(10):
        moment()
        successor = crew.start(*options)
        moment()
        codes.append(worker.stop())
        worker = successor.ready()
    finish(store)
    report = account(store, crew.ledger, JOBS + 5)
    say(f"{report}, 10 restarts")
    assert codes == [0] * 10
    assert report.lost == []
    assert worker.stop() == 0
    assert in_flight(store) == []
    assert store.hlen("pykiq:owners") == 0

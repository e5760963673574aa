"""Jobs from machines whose clocks are wrong: their times say nothing about when they run or how long they are kept."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable

import redis

from tests.chaos.fleet import Fleet, account, finish, in_flight, payload, push

HOUR, DAY, YEAR = 3600.0, 86_400.0, 31_557_600.0
SHIFTS = (-50 * YEAR, -YEAR, -DAY, -HOUR, -1.0, 0.0, 1.0, HOUR, DAY, YEAR, 1000 * YEAR)
KINDS = ("QuickJob", "AsyncJob", "FlakyJob", "SnoozingJob")
SOON = 60.0  # seconds within which a retry is due whatever the payload's clock said


def shifted() -> list[bytes]:
    """Each kind of job from each machine, in the seconds of Sidekiq 7 and in the milliseconds of 8."""
    jobs = []
    for number, (name, shift, unit) in enumerate(itertools.product(KINDS, SHIFTS, (1.0, 1000))):
        then = time.time() + shift
        stamp = then if unit == 1.0 else int(then * unit)
        jobs.append(payload(number, name, created_at=stamp, enqueued_at=stamp))
    return jobs


def test_jobs_from_clocks_that_are_wrong_all_run_fail_snooze_and_are_retried_like_any_other(
    crew: Fleet, store: redis.Redis, say: Callable[[object], None]
) -> None:
    jobs = shifted()
    push(store, jobs)
    workers = [crew.start("-c", "4").ready(), crew.start("-c", "4").ready()]
    finish(store)
    report = account(store, crew.ledger, len(jobs))
    say(report)
    assert (report.lost, report.poisoned, report.twice) == ([], 0, 0)
    assert store.zcard("dead") == 0
    assert [worker.stop() for worker in workers] == [0, 0]
    assert in_flight(store) == []


def test_retries_that_failed_on_another_clock_are_due_by_this_one(
    crew: Fleet, store: redis.Redis, say: Callable[[object], None]
) -> None:
    """They carry `failed_at` and `retried_at` of a machine that was ahead or behind; all but the last are not over."""
    jobs = []
    for number, shift in enumerate(SHIFTS):
        then = time.time() + shift
        keys = {"retry_count": 2, "failed_at": then, "retried_at": then, "error_class": "E", "error_message": "m"}
        jobs.append(payload(number, "FailingJob", shift=shift, **keys))
    push(store, jobs)
    worker = crew.start("-c", "4", settings={}).ready()
    while len(crew.ledger.count("failed")) < len(SHIFTS):
        time.sleep(0.05)
    assert worker.stop() == 0
    entries = store.zrange("retry", 0, -1, withscores=True)
    assert len(entries) == len(SHIFTS)
    assert all(abs(due - time.time() - 3**4 - 15) < SOON for _, due in entries)
    assert {json.loads(entry)["retry_count"] for entry, _ in entries} == {3}

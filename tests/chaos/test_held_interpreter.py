"""A worker without a parent whose handler holds the interpreter's lock for several times the lease."""

from __future__ import annotations

import os
from collections.abc import Callable

import redis

from tests.chaos.fleet import Fleet, Worker, account, finish, in_flight, left, payload, push
from tests.servers import wait_until

LEASE = 2.0  # seconds
SETTINGS = {"lease_ttl": LEASE, "sweep_interval": 0.3, "poll_interval": 0.2}
CRASH = 2 * LEASE  # seconds to a takeover after a crash; the orders of one that lives last three times that


def sweeps(worker: Worker, store: redis.Redis) -> None:
    """Wait until that worker looks for dead processes."""
    identity = worker.told("running")[0]["identity"].encode()
    wait_until(lambda: store.get("pykiq:sweep") == identity, 10, f"a sweep of {worker.name}")


def test_a_job_that_holds_the_interpreter_for_several_leases_runs_once_and_so_do_those_beside_it(
    crew: Fleet, store: redis.Redis, say: Callable[[object], None]
) -> None:
    push(store, [payload(number, "QuickJob", 3.0) for number in (1, 2)])
    holder = crew.start("-c", "3", settings=SETTINGS).ready()
    wait_until(lambda: left(store) and not store.llen("queue:default"), 10, "two jobs running")
    push(store, [payload(0, "GreedyJob", 4 * LEASE)])
    wait_until(lambda: crew.ledger.count("greedy")[0], 10, "the job that holds the lock")
    other = crew.start("-c", "3", settings=SETTINGS).ready()
    sweeps(other, store)
    assert not crew.ledger.count()[0], "the lock is held no more"
    push(store, [payload(number) for number in range(3, 20)])
    finish(store)
    report = account(store, crew.ledger, 20)
    say(report)
    assert (report.lost, report.twice, report.poisoned) == ([], 0, 0)
    assert crew.ledger.count("greedy")[0] == 1
    assert not other.told("took_over")
    assert [holder.stop(), other.stop()] == [0, 0]
    assert in_flight(store) == []


def test_a_kill_in_the_middle_of_such_a_job_is_noticed_as_soon_as_any(crew: Fleet, store: redis.Redis) -> None:
    push(store, [payload(0, "GreedyJob", 60.0)])
    doomed = crew.start("-c", "1", settings=SETTINGS).ready()
    wait_until(lambda: crew.ledger.count("greedy")[0], 10, "the job that holds the lock")
    heir = crew.start("-c", "1", settings=SETTINGS).ready()
    sweeps(heir, store)
    doomed.kill()
    wait_until(lambda: crew.ledger.count("greedy")[0] == 2, CRASH, "the job running elsewhere")


def test_a_process_that_a_handler_has_forked_does_not_keep_the_lease_of_one_that_was_killed(
    crew: Fleet, store: redis.Redis
) -> None:
    push(store, [payload(0, "ForkingJob")])
    doomed = crew.start("-c", "1", settings=SETTINGS).ready()
    wait_until(lambda: crew.ledger.count("forked")[0], 10, "a forked process")
    heir = crew.start("-c", "1", settings=SETTINGS).ready()
    doomed.kill()
    wait_until(lambda: crew.ledger.count()[0], CRASH, "the job done elsewhere")
    os.killpg(doomed.process.pid, 0)  # raises when the forked process has not lived on until now
    assert heir.stop() == 0

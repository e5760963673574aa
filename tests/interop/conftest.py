"""The fleet of the interop tests: a real Redis, a real Ruby of each version, and Python workers beside it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

import pykiq
from tests.interop import ruby as rubies
from tests.servers import Server, missing, wait_until

HERE = Path(__file__).parent
MAJORS = (6, 7, 8)


@pytest.fixture(scope="session")
def real_redis() -> Iterator[Server]:
    """Redis itself, as Sidekiq's users run it; `install.sh` fetches it."""
    program = shutil.which("redis-server")
    if program is None:
        missing("redis-server is not here; tests/interop/install.sh fetches it on Debian")
    running = Server(program).start()
    yield running
    running.stop()


@pytest.fixture(scope="session", params=MAJORS, ids=[f"sidekiq-{major}" for major in MAJORS])
def ruby(request: pytest.FixtureRequest) -> rubies.Ruby:
    """Each of the three Sidekiqs in turn."""
    return rubies.find(request.param)


@pytest.fixture(scope="session")
def home(ruby: rubies.Ruby) -> Iterator[rubies.Home]:
    """`ruby_side/` where this Ruby sees it."""
    placed = ruby.place()
    yield placed
    placed.remove()


@dataclass
class Fleet:
    """One database with a Ruby console on it, and the processes that were started for the test."""

    url: str
    redis: redis_py.Redis
    home: rubies.Home
    ask: rubies.Console
    folder: Path
    programs: list[rubies.Program] = field(default_factory=list)
    names: Iterator[int] = field(default_factory=itertools.count)

    @property
    def major(self) -> int:
        return self.home.ruby.major

    def ruby(self, *flags: str, **env: str) -> rubies.Program:
        """Start a `sidekiq` process: `fleet.ruby("-q", "ruby")`; POLL and the like as keywords."""
        started = self.home.server(self.url, *flags, env=env)
        self.programs.append(started)
        return started

    def python(self, *flags: str, require: Path = HERE / "handlers.py") -> rubies.Program:
        """Start `pykiq run` with the handlers of handlers.py; returns at its first heartbeat."""
        command = [sys.executable, "-m", "pykiq", "run", "--require", str(require), *flags]
        started = rubies.Program(
            [*command, "--redis", self.url],
            self.folder / f"pykiq-{next(self.names)}.log",
            env={**os.environ, "REDIS_URL": self.url},
        )
        self.programs.append(started)
        started.wait_for_heartbeat(self.redis)
        return started

    def push_from_python(self, klass: str, args: list[Any], wire: str = "auto", **more: Any) -> str:
        """Push with pykiq's client in this process; `more` is what the payload has besides class and args."""
        with pykiq.Client(pykiq.Config(redis=self.url, wire=wire)) as client:
            jid = client.push({"class": klass, "args": args, **more})
        assert jid is not None
        return jid

    def wait(self, condition: Any, seconds: float = 20, what: str = "the condition") -> None:
        """Wait for `condition()`; a failure shows the end of every process's log."""
        try:
            wait_until(condition, seconds, what)
        except pytest.fail.Exception as failure:
            logs = "\n".join(f"--- {program.log}\n{program.text()[-3000:]}" for program in self.programs)
            pytest.fail(f"{failure}\n{logs}")

    def notes(self, by: str | None = None) -> list[dict[str, Any]]:
        """What jobs have noted, oldest first; `by` is `ruby` or `python`."""
        notes = [json.loads(line) for line in self.redis.lrange("notes", 0, -1)]
        return [note for note in notes if by in (None, note["by"])]

    def members(self, key: str) -> list[dict[str, Any]]:
        """The payloads of a queue or a sorted set."""
        if self.redis.type(key) == b"list":
            return [json.loads(raw) for raw in self.redis.lrange(key, 0, -1)]
        return [json.loads(raw) for raw in self.redis.zrange(key, 0, -1)]

    def hurry(self, key: str) -> None:
        """Make every entry of a sorted set due, without changing its bytes."""
        for member in self.redis.zrange(key, 0, -1):
            self.redis.zadd(key, {member: 1.0}, xx=True)

    def in_flight(self) -> list[bytes]:
        return list(self.redis.keys("pykiq:inflight:*"))

    def kill_all(self) -> None:
        for program in self.programs:
            program.kill()
        self.programs.clear()


@contextlib.contextmanager
def fleet_on(server: Server, home: rubies.Home, database: int, folder: Path) -> Iterator[Fleet]:
    url = f"redis://127.0.0.1:{server.port}/{database}"
    with redis_py.Redis.from_url(url, protocol=2) as client:
        client.flushdb()
        console = home.console(url)
        made = Fleet(url, client, home, console, folder)
        try:
            yield made
        finally:
            made.kill_all()
            console.close()


@pytest.fixture(scope="session")
def lasting_fleet(real_redis: Server, home: rubies.Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A console for all tests of one version."""
    with fleet_on(real_redis, home, 1, tmp_path_factory.mktemp("fleet")) as made:
        yield made


@pytest.fixture
def fleet(lasting_fleet: Fleet) -> Iterator[Fleet]:
    """An empty database; the processes that the test starts end with it."""
    lasting_fleet.redis.flushdb()
    yield lasting_fleet
    lasting_fleet.kill_all()


ARGS = ["größe ✓ 💥", 12345678901234567890, 1e20, 1.5e-07, 0.1, {"z": 1, "a": [None, True]}, "a\u0000b / </x>"]
Entries = dict[str, list[tuple[bytes, float]]]


@pytest.fixture(scope="session")
def python_entries(lasting_fleet: Fleet) -> Entries:
    """Two entries each of `retry`, `dead` and `schedule` with their scores, written by Python beside this Ruby."""
    fleet = lasting_fleet
    fleet.redis.flushdb()
    fleet.ruby("-q", "ruby", "-c", "1", POLL="60")
    for number in range(2):
        # the arguments are not what these handlers take: the failure is the signature's
        fleet.push_from_python("Py::Fails", [*ARGS, number], queue="python")
        fleet.push_from_python("Py::Dies", [*ARGS, number], queue="python", retry=0)
        fleet.push_from_python("Py::Note", [*ARGS, number], queue="python", at=time.time() + 3600)
    worker = fleet.python("-q", "python", "-c", "1")
    sets = ("retry", "dead", "schedule")
    fleet.wait(lambda: [fleet.redis.zcard(key) for key in sets] == [2, 2, 2], what="all entries")
    assert worker.stop() == 0
    fleet.kill_all()
    written = {key: fleet.redis.zrange(key, 0, -1, withscores=True) for key in sets}
    return {
        key: sorted(entries, key=lambda entry: json.loads(entry[0])["args"][-1]) for key, entries in written.items()
    }


@pytest.fixture(scope="session")
def ruby_entries(lasting_fleet: Fleet) -> Entries:
    """Two entries of `retry` and one each of `dead` and `schedule` with their scores, written by this Ruby's worker."""
    fleet = lasting_fleet
    fleet.redis.flushdb()
    sets = ("retry", "dead", "schedule")
    fleet.ruby("-q", "shared", "-c", "1", POLL="60")
    fleet.ask("2.times { |n| Shared::Flaky.perform_async('größe ✓', n, 1.5e-07, {'z' => [nil, 2**70]}) }")
    fleet.ask("Shared::Flaky.set(retry: 0).perform_async('dead')")
    fleet.ask("Shared::Flaky.perform_in(3600, 'later')")
    fleet.wait(lambda: [fleet.redis.zcard(key) for key in sets] == [2, 1, 1], what="all entries")
    written = {key: fleet.redis.zrange(key, 0, -1, withscores=True) for key in sets}
    fleet.kill_all()
    fleet.redis.flushdb()
    return written


def restore(fleet: Fleet, written: Entries) -> None:
    for key, pairs in written.items():
        fleet.redis.zadd(key, dict(pairs))


@dataclass
class Scene:
    """A Ruby and a Python process in the middle of their work, for the tests that only look.

    Python runs one job, has failed one into `retry` (with backtrace and tags) and one into `dead`; one is scheduled.
    """

    fleet: Fleet
    python: rubies.Program
    begun: float  # before anything else; the tests that look may come minutes later
    retry_at: float  # when the retry was due; it is put off for the tests to see it
    busy: str  # jids
    retry: str
    dead: str
    scheduled: str


@pytest.fixture(scope="session")
def scene(real_redis: Server, home: rubies.Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("scene")
    begun = time.time()
    with fleet_on(real_redis, home, 2, folder) as fleet:
        fleet.ruby("-q", "ruby", "-c", "1", POLL="5")
        push = "Sidekiq::Client.push({'class' => klass, 'queue' => 'python', 'args' => [arg]}.merge(more))"

        def pushed(klass: str, arg: object, **more: object) -> str:
            return str(fleet.ask(push, klass=klass, arg=arg, more=more))

        busy = pushed("Py::Busy", "/no/such/file")
        retry = pushed("Py::FailsWithBacktrace", "no stock ✓", retry=3, backtrace=True, tags=["slow", "billing"])
        dead = pushed("Py::Dies", "gone", retry=0, backtrace=3)
        scheduled = str(fleet.ask("Py::Note.perform_in(3600, 'later')"))
        python = fleet.python("-q", "python", "-q", "other", "-c", "3", "-t", "3")
        fleet.wait(lambda: fleet.redis.zcard("retry") == 1, what="the retry entry")
        ((entry, retry_at),) = fleet.redis.zrange("retry", 0, -1, withscores=True)
        fleet.redis.zadd("retry", {entry: retry_at + 3600}, xx=True)
        fleet.wait(lambda: fleet.redis.zcard("dead") == 1, what="the dead entry")
        fleet.wait(lambda: [w for w in fleet.ask("work") if w["payload"]["jid"] == busy], 25, "the work record")
        fleet.wait(lambda: fleet.ask("stats")["failed"] == 2, 25, "the counters of a heartbeat")
        yield Scene(fleet, python, begun, retry_at, busy, retry, dead, scheduled)

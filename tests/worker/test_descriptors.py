"""File descriptors: room for a connection of each queue is made at the start, or the start is refused."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis as redis_py

import pykiq
from pykiq.config import Capsule, Config
from pykiq.errors import ConfigError
from pykiq.worker.descriptors import OWN, PER_SLOT, make_room, needed, readable
from pykiq.worker.ears import Ears
from pykiq.worker.process import Process
from tests.servers import wait_until

MANY = 1100  # queues: the connections of the last ones have numbers above 1,023
JOBS = """
import pykiq, redis, os

@pykiq.job("Echo")
def echo(value):
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.rpush("echoed", value)
"""


@pytest.fixture
def limits() -> Iterator[Callable[[int, int | None], None]]:
    """Sets the soft limit of this process; the hard one cannot be raised again, and is only pretended."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield lambda soft, hard=None: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard or before[1]))
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def config(queues: int, **settings: object) -> Config:
    return Config.of(queues=[f"q{number}" for number in range(queues)], **settings)  # type: ignore[arg-type]


def test_a_queue_needs_a_descriptor_in_each_of_its_capsules() -> None:
    one, two = Capsule("one", 1, (("a", 0), ("b", 0))), Capsule("default", 2, (("a", 0),))
    few, more = needed(config(1, concurrency=1)), needed(Config.of(capsules=(one, two)))
    assert more - few == 2 + 2 * PER_SLOT
    assert few >= OWN + 1


def test_a_limit_that_is_enough_is_left_alone(limits: Callable[..., None]) -> None:
    limits(needed(config(10)) + 5)
    make_room(config(10))
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] in range(needed(config(10)), needed(config(10)) + 10)


def test_one_that_is_not_is_raised_as_far_as_needed(limits: Callable[..., None]) -> None:
    limits(256)
    make_room(config(MANY))
    assert MANY < resource.getrlimit(resource.RLIMIT_NOFILE)[0] < MANY + 500


def test_where_it_cannot_be_raised_the_start_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    monkeypatch.setattr(resource, "setrlimit", refused)
    with pytest.raises(
        ConfigError,
        match=r"^1100 queues and 10 at a time need \d+ file descriptors.*limit is 256 .hard limit 256.; exp",
    ):
        make_room(config(MANY))
    with pytest.raises(ConfigError, match="file descriptors"):
        Process(config(MANY))


def test_what_is_readable_is_found_above_1023_too(limits: Callable[..., None]) -> None:
    limits(4096)
    reading, writing = os.pipe()
    high = fcntl.fcntl(reading, fcntl.F_DUPFD, 2000)
    try:
        assert readable([high], 0) == set()
        os.write(writing, b"x")
        assert readable([high, writing], 5) == {high}
        os.close(writing)
        assert readable([high], 5) == {high}
    finally:
        os.close(reading)
        os.close(high)


def test_ears_hear_where_many_files_are_open(limits: Callable[..., None]) -> None:
    limits(4096)
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    before = {
        number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGTSTP, signal.SIGTTIN, signal.SIGINT)
    }
    ears = Ears()
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        assert list(ears.wait(5.0)) == [signal.SIGTERM]
    finally:
        ears.close()
        for number, handler in before.items():
            signal.signal(number, handler)
        for one in opened:
            os.close(one)


@pytest.mark.system
@pytest.mark.parametrize("options", [(), ("--processes", "1")], ids=["one process", "a swarm"])
@pytest.mark.parametrize("hard", [4096, 600])
def test_a_worker_of_more_queues_than_its_limit_starts_and_works_or_says_why_not(
    redis: redis_py.Redis, redis_url: str, tmp_path: Path, hard: int, options: tuple[str, ...]
) -> None:
    (tmp_path / "many_jobs.py").write_text(JOBS)
    queues = ",".join(f"q{number}" for number in range(MANY))
    limited = ["sh", "-c", 'ulimit -S -n 256 && ulimit -H -n "$0" && exec "$@"', str(hard)]
    command = [*limited, sys.executable, "-m", "pykiq", "run", "-r", "many_jobs", "-c", "2", "--log-format", "json"]
    environment = os.environ | {"REDIS_URL": redis_url, "PYKIQ_QUEUES": queues.replace(",", " ")}
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen([*command, *options], cwd=tmp_path, env=environment, stdout=log, stderr=log)
    said = (tmp_path / "log").read_text
    try:
        if hard < MANY:
            assert worker.wait(30) == 2
            (line,) = [line for line in said().splitlines() if line.startswith("pykiq: ")]
            assert line.startswith(f"pykiq: {MANY} queues and ")
            return
        wait_until(lambda: '"running"' in said(), 30, "a running worker")
        wait_until(lambda: any(one["cmd"] == "subscribe" for one in redis.client_list()), 60, "the watch of all queues")
        with pykiq.Client(Config.of(redis=redis_url)) as client:
            for number in (0, MANY - 1):
                client.push({"class": "Echo", "args": [number], "queue": f"q{number}"})
                assert redis.blpop("echoed", 20)[1] == str(number).encode()  # type: ignore[index]
        worker.terminate()
        assert worker.wait(30) == 0
    finally:
        worker.kill()
        worker.wait()

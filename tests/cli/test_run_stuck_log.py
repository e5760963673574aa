"""Nobody reads standard error: jobs are done, children are replaced, and a stop stops."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from tests.cli.command import environment
from tests.servers import wait_until

pytestmark = pytest.mark.system

JOBS = """
import logging, os, sys, time
import structlog
import pykiq

@pykiq.job("Tells")
def tells(lines, length):
    for _ in range(lines):
        logging.getLogger("app").warning("x" * length)
        structlog.get_logger().warning("y" * length)
        pykiq.current_job().log.warning("z" * length)

@pykiq.job("Prints")
def prints():
    while True:
        print("x" * 1000, file=sys.stderr)

@pykiq.job("Dies")
def dies(number):
    os.kill(os.getpid(), 9)
"""


class Stuck:
    """`pykiq run` whose standard error is a pipe of one page."""

    def __init__(self, folder: Path, url: str, *arguments: str, full: bool = False) -> None:
        (folder / "stuck_jobs.py").write_text(JOBS)
        self.reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        if full:
            os.write(writing, b"x" * 4095 + b"\n")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pykiq", "run", "--require", "stuck_jobs", "--timeout", "2", *arguments],
            cwd=folder,
            env=environment(REDIS_URL=url),
            stderr=writing,
            stdout=subprocess.DEVNULL,
        )
        os.close(writing)

    def read(self, until: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """Read on until the lines are as they should be."""
        fcntl.fcntl(self.reading, fcntl.F_SETPIPE_SZ, 1 << 20)
        rest, lines = b"", list[dict[str, Any]]()

        def more() -> bool:
            nonlocal rest
            found = os.read(self.reading, 1 << 20) if select.select([self.reading], [], [], 0.1)[0] else b""
            *whole, rest = (rest + found).split(b"\n")
            lines.extend(json.loads(line) for line in whole if line.startswith(b"{"))
            return until(lines)

        wait_until(more, 30, "the lines")
        return lines

    def close(self) -> None:
        with suppress(OSError):
            os.close(self.reading)
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def stuck(tmp_path: Path, redis_url: str, redis: redis_py.Redis) -> Iterator[Callable[..., Stuck]]:
    made: list[Stuck] = []

    def start(*arguments: str, **more: bool) -> Stuck:
        made.append(Stuck(tmp_path, redis_url, *arguments, **more))
        return made[-1]

    yield start
    for one in made:
        one.close()


def push(redis: redis_py.Redis, name: str, *args: Any, jid: str = "x") -> None:
    redis.lpush("queue:default", json.dumps({"class": name, "args": args, "jid": jid, "queue": "default"}))


def processed(redis: redis_py.Redis) -> int:
    return int(redis.get("stat:processed") or 0)  # type: ignore[arg-type]


def rss_kb(pid: int) -> int:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1])


@pytest.mark.parametrize("full", [False, True])
def test_jobs_are_done_signals_heeded_and_a_stop_is_clean(
    stuck: Callable[..., Stuck], redis: redis_py.Redis, full: bool
) -> None:
    worker = stuck(full=full)
    for number in range(20):
        push(redis, "Tells", 20, 1000, jid=f"j{number}")
    wait_until(lambda: not redis.exists("queue:default"), 20, "all jobs taken")
    worker.process.send_signal(signal.SIGTTIN)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(15) == 0
    assert processed(redis) + redis.llen("queue:default") == 20, "what had not started is back"


def test_memory_is_bounded_and_what_was_dropped_is_told_when_it_flows_again(
    stuck: Callable[..., Stuck], redis: redis_py.Redis
) -> None:
    worker = stuck()
    push(redis, "Tells", 1, 10)
    wait_until(lambda: redis.llen("queue:default") == 0 and redis.smembers("processes"), 20, "the start")
    before = rss_kb(worker.process.pid)
    for number in range(30):
        push(redis, "Tells", 30, 20_000, jid=f"j{number}")  # 54 MB in all
    wait_until(lambda: redis.llen("queue:default") == 0, 30, "all jobs taken")
    worker.process.send_signal(signal.SIGTSTP)
    wait_until(lambda: redis.hget(next(iter(redis.smembers("processes"))), "busy") == b"0", 20, "all jobs done")  # type: ignore[arg-type]
    assert rss_kb(worker.process.pid) - before < 40_000
    lines = worker.read(lambda lines: any(line["event"] == "log_lines_dropped" for line in lines))
    dropped = [line["lines"] for line in lines if line["event"] == "log_lines_dropped"]
    assert sum(dropped) > 1000
    assert {line["event"] for line in lines} >= {"starting", "running", "start", "done"}


def test_a_job_that_hangs_on_the_pipe_itself_is_put_back_and_the_stop_ends(
    stuck: Callable[..., Stuck], redis: redis_py.Redis
) -> None:
    worker = stuck()
    push(redis, "Prints")
    wait_until(lambda: redis.llen("queue:default") == 0 and redis.smembers("processes"), 20, "the job taken")
    worker.process.terminate()
    assert worker.process.wait(20) == 0
    assert redis.llen("queue:default") == 1


def test_a_parent_goes_on_replacing_children_and_its_keeper_taking_over(
    stuck: Callable[..., Stuck], redis: redis_py.Redis
) -> None:
    worker = stuck("--processes", "2", "-c", "1", full=True)
    wait_until(lambda: redis.scard("processes") == 2, 30, "two children")
    for round_ in range(3):
        push(redis, "Tells", 50, 1000, jid=f"t{round_}")
        push(redis, "Dies", 1, jid=f"d{round_}")
        wait_until(lambda: redis.zcard("dead") == round_ + 1, 40, "the pill dead after three takeovers")  # noqa: B023
        wait_until(lambda: redis.llen("queue:default") == 0, 20, "the other job taken")
    worker.process.terminate()
    assert worker.process.wait(30) == 0
    assert redis.llen("queue:default") == 0

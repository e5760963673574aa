"""Ctrl-C on a terminal: the first stops and says what another one does, which puts back what runs at once."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
import redis as redis_py

from tests.cli.command import start
from tests.cli.terminal import Terminal
from tests.servers import wait_until

pytestmark = pytest.mark.system

JOBS = """
import asyncio, time, pykiq
from pathlib import Path

@pykiq.job("Python")
def python():
    Path("began").touch()
    while True:
        time.sleep(0.005)

@pykiq.job("Blocked")
def blocked():
    Path("began").touch()
    time.sleep(60)

@pykiq.job("Async")
async def asynchronous():
    Path("began").touch()
    await asyncio.sleep(60)
"""
CTRL_C = "\x03"
TIMEOUT = ("-t", "50")  # seconds: who waits for it fails the test

ALONE = ("run", "-r", "jobs")
SWARM = ("run", "-r", "jobs", "--processes", "2")
DEV = ("dev", "-r", "jobs")


def job(name: str) -> bytes:
    return b'{"class":"%s","args":[],"jid":"1","retry":true}' % name.encode()


@pytest.mark.parametrize(
    ("command", "name"),
    [(ALONE, "Python"), (ALONE, "Async"), (ALONE, "Blocked"), (SWARM, "Python"), (SWARM, "Blocked"), (DEV, "Python")],
)
def test_another_ctrl_c_puts_jobs_back_at_once(
    command: tuple[str, ...], name: str, tmp_path: Path, redis: redis_py.Redis, redis_url: str
) -> None:
    (tmp_path / "jobs.py").write_text(JOBS)
    with Terminal(*command, *TIMEOUT, "--redis", redis_url, cwd=tmp_path, columns=200) as terminal:
        wait_until(lambda: terminal.shows("Ctrl-C stops it: running jobs have 50 s"), 30, "the banner")
        redis.lpush("queue:default", job(name))
        wait_until((tmp_path / "began").exists, 30, "the job")
        terminal.press(CTRL_C)
        wait_until(lambda: terminal.shows("Ctrl-C again does not wait for jobs"), 20, "what the first one says")

        def ends_when_pressed_again() -> bool:
            # Some time after the first: what comes sooner is the same one, passed on by a parent.
            terminal.press(CTRL_C)
            terminal.shows("")
            try:
                return terminal.process.wait(0.5) is not None
            except subprocess.TimeoutExpired:
                return False

        wait_until(ends_when_pressed_again, 20, "the end")
        assert terminal.process.returncode == 0, terminal.shown
        assert redis.lrange("queue:default", 0, -1) == [job(name)]
        assert redis.keys("pykiq:lease:*") == []


def test_one_press_that_arrives_twice_is_one(tmp_path: Path, redis: redis_py.Redis, redis_url: str) -> None:
    """`uv run`, npm and the like pass on what their terminal has sent to everybody already."""
    (tmp_path / "jobs.py").write_text(JOBS.replace("sleep(60)", "sleep(2)"))
    with Terminal(*ALONE, *TIMEOUT, "--redis", redis_url, cwd=tmp_path, columns=200) as terminal:
        redis.lpush("queue:default", job("Blocked"))
        wait_until(lambda: terminal.shows("running") and (tmp_path / "began").exists(), 30, "the job")
        for _ in range(2):
            os.kill(terminal.process.pid, signal.SIGINT)
        wait_until(lambda: terminal.shows("stopped") or terminal.process.poll() is not None, 20, "the end")
        assert terminal.process.wait(20) == 0
        assert redis.get("stat:processed") == b"1", "the job had its time"
        assert redis.llen("queue:default") == 0


def test_without_a_terminal_another_int_changes_nothing(tmp_path: Path, redis: redis_py.Redis, redis_url: str) -> None:
    (tmp_path / "jobs.py").write_text(JOBS.replace("sleep(60)", "sleep(3)"))
    log = tmp_path / "log"
    worker = start(*ALONE, *TIMEOUT, cwd=tmp_path, log=log, stdin=subprocess.DEVNULL, REDIS_URL=redis_url)
    try:
        redis.lpush("queue:default", job("Blocked"))
        wait_until((tmp_path / "began").exists, 30, "the job")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            worker.send_signal(number)
            wait_until(lambda: '"stopping"' in log.read_text(), 20, "the stop")
        assert worker.wait(30) == 0
        assert "Ctrl-C" not in log.read_text()
        assert redis.get("stat:processed") == b"1", "the job had its time"
    finally:
        worker.kill()
        worker.wait()

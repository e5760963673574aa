"""Acting on many jobs at a terminal: a question, a bar, and what became of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis as redis_py

from tests.admin.conftest import failed
from tests.cli.command import pykiq_command
from tests.cli.terminal import Terminal
from tests.servers import wait_until

pytestmark = pytest.mark.system


def test_a_bulk_action_asks_and_shows_how_far_it_is(redis: redis_py.Redis, redis_url: str, tmp_path: Path) -> None:
    redis.zadd("dead", {failed(n): n for n in range(2000)})
    with Terminal("dead", "retry", "--match", "HardJob", "--redis", redis_url, cwd=tmp_path) as terminal:
        wait_until(lambda: terminal.shows("push now 2,000 of 2,000 jobs in dead? [y/N]"), 20, "the question")
        assert "looking" in terminal.shown
        assert redis.zcard("dead") == 2000
        terminal.press("y\r")
        wait_until(lambda: terminal.shows("pushed 2,000"), 20, "what became of them")
        assert terminal.process.wait(10) == 0
    assert "2000/2000" in terminal.shown.partition("[y/N]")[2]
    assert redis.llen("queue:low") == 2000


def test_a_bulk_push_shows_how_far_it_is(redis: redis_py.Redis, redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("[1]\n" * 3000)
    with Terminal("push", "HardJob", "--each", "jobs", "--redis", redis_url, cwd=tmp_path) as terminal:
        wait_until(lambda: terminal.shows("pushed 3,000"), 20, "the end")
        assert terminal.process.wait(10) == 0
    assert "3000/3000" in terminal.shown
    assert terminal.shown.count("push  [") < 300, "drawn a few times a second, not for each job"
    assert redis.llen("queue:default") == 3000


def test_elsewhere_nothing_is_drawn(redis: redis_py.Redis, redis_url: str, tmp_path: Path) -> None:
    redis.zadd("dead", {failed(n): n for n in range(2000)})
    ran = pykiq_command("dead", "delete", "--all", "--yes", cwd=tmp_path, REDIS_URL=redis_url)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "deleted 2,000\n", "")

"""Acting on many jobs at a terminal: a question, a bar, and what became of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import redis as redis_py

from pykiq.admin import changes
from pykiq.store import queues
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


@pytest.mark.parametrize("command", [["dead", "delete"], ["queues", "low", "delete"]], ids=" ".join)
def test_what_breaks_off_tells_how_far_it_came(
    redis: redis_py.Redis, redis_url: str, tmp_path: Path, command: list[str]
) -> None:
    jobs = [failed(n) for n in range(30_000)]
    redis.zadd("dead", dict(zip(jobs, range(30_000), strict=True)))
    redis.lpush("queue:low", *jobs)
    redis.sadd("queues", "low")
    place = "dead" if command[0] == "dead" else "queue:low"
    with Terminal(*command, "--all", "--yes", "--redis", redis_url, cwd=tmp_path) as terminal:
        wait_until(lambda: terminal.shows("]  6000/30000"), 20, "a part of it")
        assert terminal.shown.count("/30000") <= 201, "a bar that is drawn for every job takes longer than the jobs"
        terminal.press("\x03")
        wait_until(lambda: terminal.shows("pykiq: interrupted"), 20, "the end")
        assert terminal.process.wait(10) == 1
    left = redis.zcard(place) if place == "dead" else redis.llen(place)
    told = re.search(r"deleted ([\d,]+) or a few more before this:\s+pykiq: interrupted\s*$", terminal.shown)
    assert told, terminal.shown[-300:]
    assert not redis.keys("pykiq:*"), "what was on the side is back"
    step = changes.BATCH if place == "dead" else queues.PAGE  # may be done, and its answer not have come any more
    assert 30_000 - left - step <= int(told[1].replace(",", "")) <= 30_000 - left

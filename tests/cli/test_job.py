"""`pykiq job JID`: where a job is, and everything about it, as one on call reads it and as programs do."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
import redis as redis_py

from pykiq.wire.dialect import EIGHT
from pykiq.wire.failure import encode_backtrace
from tests.admin.conftest import failed, packed
from tests.admin.test_lookup import ALIVE, GONE, JID, RUBY, hold, show_running
from tests.cli.inside import Command
from tests.cli.terminal import Terminal
from tests.servers import wait_until


def rows(text: str) -> dict[str, str]:
    """The keys and values of one job's details."""
    return dict(line.split(maxsplit=1) for line in text.splitlines() if not line.startswith(" "))


def test_a_job_that_waits_is_shown_with_its_queue_and_its_times(redis: redis_py.Redis, command: Command) -> None:
    redis.sadd("queues", "low")
    redis.lpush("queue:low", packed(1, enqueued_at=time.time() - 90, tags=["vip"], args=[7, "x"]))
    ran = command("job", JID)
    assert (ran.code, ran.err) == (0, "")
    told = rows(ran.out)
    assert told["state"].startswith("waits in the queue low for 1 m 3")
    assert (told["class"], told["args"], told["retries"]) == ("HardJob", '7,"x"', "0 of 25")
    assert told["tags"] == '["vip"]'
    assert told["created_at"].startswith("2026-11-22 ")
    assert " UTC (1 m 3" in told["enqueued_at"]


@pytest.mark.parametrize(
    ("key", "score", "expected"),
    [
        ("schedule", 19_830, "scheduled, due in 5 h 30 m"),
        ("retry", 19_830, "will be retried, in 5 h 30 m"),
        ("dead", -19_830, "dead, for 5 h 30 m"),
    ],
)
def test_a_job_of_a_set_is_shown_with_its_moment(
    key: str, score: int, expected: str, redis: redis_py.Redis, command: Command
) -> None:
    redis.zadd(key, {failed(1, retry=3, retry_count=2): time.time() + score})
    told = rows(command("job", JID).out)
    assert told["state"] == expected
    assert told["retries"] == "2 of 3"
    assert (told["error_class"], told["error_message"]) == ("OrderError", "no stock")


def test_a_job_that_runs_is_shown_with_process_thread_and_start(redis: redis_py.Redis, command: Command) -> None:
    hold(redis, ALIVE, "low", packed(1))
    show_running(redis, ALIVE, packed(1), time.time() - 30)
    assert rows(command("job", JID).out)["state"].startswith(f"runs at {ALIVE}, thread thread, since 20")
    (found,) = command("job", JID, "--json").lines
    assert (found["state"], found["process"], found["process_alive"], found["thread"]) == (
        *("running", ALIVE, True, "thread"),
    )
    assert found["run_at"] is not None
    assert found["job"] == json.loads(packed(1))


def test_what_is_in_flight_says_whether_its_process_lives(redis: redis_py.Redis, command: Command) -> None:
    hold(redis, ALIVE, "low", packed(1))
    hold(redis, GONE, "low", packed(2), alive=False)
    assert rows(command("job", JID).out)["state"] == f"in flight at {ALIVE}, claimed from low: not known to have begun"
    state = rows(command("job", f"{2:024x}").out)["state"]
    assert state == f"in flight at {GONE}, which is gone: it is about to be taken over"
    show_running(redis, GONE, packed(2), 7)
    assert "taken over, since 1970-01-01 00:00:07 UTC (" in command("job", f"{2:024x}").out
    (found,) = command("job", f"{2:024x}", "--json").lines
    assert (found["state"], found["process_alive"]) == ("in flight", False)


def test_a_process_that_has_just_been_killed_is_told_as_silent_and_when_its_job_is_taken_over_at_the_latest(
    redis: redis_py.Redis, command: Command
) -> None:
    hold(redis, ALIVE, "low", packed(1), packed(2))
    show_running(redis, ALIVE, packed(1), time.time() - 30)
    redis.pexpire(f"pykiq:lease:{ALIVE}", 7_000)
    told = r"; its process has not been heard of for [5-9]\.\d s: if it has ended, the job is taken over within \d+ s"
    for number, before in ((1, rf"runs at {ALIVE}, thread thread, since .*\)"), (2, ".* not known to have begun")):
        assert re.fullmatch(before + told, rows(command("job", f"{number:024x}").out)["state"])
        assert 2 < command("job", f"{number:024x}", "--json").lines[0]["lease_left"] <= 7


def test_a_process_that_was_heard_of_since_its_last_renewal_is_not_told_as_silent(
    redis: redis_py.Redis, command: Command
) -> None:
    hold(redis, ALIVE, "low", packed(1))
    redis.pexpire(f"pykiq:lease:{ALIVE}", 11_000)
    assert rows(command("job", JID).out)["state"].endswith(": not known to have begun")


def test_an_active_job_is_shown_as_rails_would(redis: redis_py.Redis, command: Command) -> None:
    data = {"job_class": "ReportJob", "job_id": "0b1c2d3e-1111-4222-8333-444455556666", "arguments": [42]}
    job = packed(1, **{"class": "Sidekiq::ActiveJob::Wrapper", "wrapped": "ReportJob"}, args=[data])
    redis.zadd("retry", {job: 1})
    told = rows(command("job", str(data["job_id"])).out)
    assert (told["class"], told["args"], told["jid"]) == ("ReportJob", "42", JID)


def test_a_backtrace_has_the_application_s_own_frames(redis: redis_py.Redis, command: Command) -> None:
    frames = [
        "/srv/shop/billing.py:12:in 'charge'",
        "/usr/lib/python3.11/contextlib.py:81:in 'inner'",
        "/srv/.venv/lib/python3.12/site-packages/stripe/api.py:9:in 'post'",
        "/srv/shop/card.py:3:in 'declined'",
    ]
    redis.zadd("dead", {failed(1, error_backtrace=encode_backtrace(frames, EIGHT)): 1})
    shown = [line.strip() for line in command("job", JID).out.splitlines()[-3:]]
    assert shown == [frames[0], "… 2 of libraries", frames[3]]
    assert command("job", JID, "--json").lines[0]["backtrace"] == frames
    libraries = encode_backtrace(frames[1:3], EIGHT)
    redis.zadd("dead", {failed(2, error_backtrace=libraries): 1})
    assert [line.strip() for line in command("job", f"{2:024x}").out.splitlines()[-2:]] == frames[1:3]


def test_several_are_shown_below_each_other_and_those_missing_are_told(redis: redis_py.Redis, command: Command) -> None:
    redis.zadd("dead", {failed(1, args=[n]): 1 for n in range(2)})
    show_running(redis, RUBY, packed(2), 7)
    ran = command("job", JID, f"{2:024x}", "none")
    assert ran.out.count("state") == 3
    assert len(ran.out.split("\n\n")) == 3
    assert (ran.code, ran.err) == (1, "pykiq: no job none waits, runs, is scheduled, will be retried or is dead\n")
    assert len(command("job", JID, f"{2:024x}", "--json").lines) == 3


def test_an_empty_jid_is_what_a_shell_has_left_of_a_variable(command: Command) -> None:
    assert command("job", "")[:] == (2, "", 'pykiq: JID is ""; expected a name\n')


ODD = [
    {"retry": "many", "retry_count": "2"},
    {"retry_count": [], "error_class": 5, "error_message": {}, "error_backtrace": "no zlib"},
    {"created_at": "yesterday", "enqueued_at": 1e300, "tags": 5, "args": {}},
    {"class": None, "queue": 5, "retry": False, "retry_count": 1e300},
]


@pytest.mark.parametrize("odd", ODD)
def test_odd_values_are_shown_as_they_are(odd: dict[str, object], redis: redis_py.Redis, command: Command) -> None:
    redis.sadd("queues", "low")
    redis.lpush("queue:low", packed(1, **odd))
    for key in ("schedule", "retry", "dead"):
        redis.zadd(key, {packed(1, **odd): 5})
    hold(redis, ALIVE, "low", packed(1, **odd))
    ran = command("job", JID)
    assert (ran.code, ran.err, ran.out.count("state")) == (0, "", 5)
    assert len(command("job", JID, "--json").lines) == 5


@pytest.mark.system
def test_a_terminal_sees_how_far_it_is(redis: redis_py.Redis, redis_url: str, tmp_path: Path) -> None:
    redis.sadd("queues", "low")
    redis.lpush("queue:low", *[packed(number) for number in range(5000)])
    with Terminal("job", JID, "--redis", redis_url, cwd=tmp_path) as terminal:
        wait_until(lambda: terminal.shows("waits in the queue low"), 20, "the job")
        assert terminal.shows("looking")
        assert terminal.process.wait(10) == 0

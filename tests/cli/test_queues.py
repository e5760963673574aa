"""`pykiq queues`, `pause`, `resume`."""

from __future__ import annotations

import json
import time

import pytest
import redis as redis_py

from tests.admin.conftest import members, packed
from tests.cli.inside import Command


@pytest.fixture
def filled(redis: redis_py.Redis) -> redis_py.Redis:
    """One queue with 250 jobs of two classes, another that is paused."""
    now = time.time()
    redis.sadd("queues", "low", "empty")
    redis.sadd("paused", "empty")
    for n in range(250):
        name = "HardJob" if n % 2 else "Billing::ChargeJob"
        redis.lpush("queue:low", packed(n, **{"class": name}, enqueued_at=now - (250 - n) * 60))
    return redis


def test_queues_are_a_table_with_the_longest_first(filled: redis_py.Redis, command: Command) -> None:
    head, low, empty = command("queues").out.splitlines()
    assert head.split() == ["queue", "size", "latency"]
    assert low.split() == ["low", "250", "4", "h", "10", "m"]
    assert empty.split() == ["empty", "0", "paused"]
    found = command("queues", "--json").lines
    assert [(queue["name"], queue["size"], queue["paused"]) for queue in found] == [
        ("low", 250, False),
        ("empty", 0, True),
    ]
    assert found[0]["latency"] > 14_000


def test_only_the_longest_queues_are_shown_with_a_limit(filled: redis_py.Redis, command: Command) -> None:
    assert [queue["name"] for queue in command("queues", "--limit", "1", "--json").lines] == ["low"]


def test_without_queues_it_says_so(command: Command) -> None:
    assert command("queues")[:] == (0, "", "no queues\n")


def test_the_jobs_of_a_queue_are_shown_newest_first(filled: redis_py.Redis, command: Command) -> None:
    ran = command("queues", "low", "--limit", "2")
    assert [row.split()[-2:] for row in ran.out.splitlines()] == [
        ["class", "args"],
        ["HardJob", "249"],
        ["Billing::ChargeJob", "248"],
    ]
    assert [line["job"]["args"] for line in command("queues", "low", "--json", "--since", "150s").lines] == [
        [249],
        [248],
    ]
    assert command("queues", "empty").err == "no jobs\n"
    shown = command("queues", "low", f"{7:024x}").out
    assert "HardJob" in shown.splitlines()[0]
    assert command("queues", "low", "clera").err == "pykiq: no job clera in low; did you mean `clear`?\n"


def test_jobs_are_deleted_by_class_by_jid_or_all(filled: redis_py.Redis, command: Command) -> None:
    assert command("queues", "low", "delete", "--class", "Billing::*", "--yes").out == "deleted 125\n"
    assert {job["class"] for job in members(filled, "queue:low")} == {"HardJob"}
    ran = command("queues", "low", "delete", f"{7:024x}", "nobody")
    assert ran[:] == (1, "", "pykiq: no job nobody in low; nothing was changed\n")
    assert command("queues", "low", "delete", f"{7:024x}").out == "deleted 1\n"
    assert command("queues", "low", "delete", "--class", "HardJob", "--limit", "4", "--yes").out == "deleted 4\n"
    assert command("queues", "low", "delete", "--all", "--yes").out == "deleted 120\n"
    assert filled.smembers("queues") == {b"low", b"empty"}


def test_a_queue_is_cleared_after_a_question(filled: redis_py.Redis, command: Command, answer: list[str]) -> None:
    answer.append("no")
    assert command("queues", "low", "clear").out == ""
    assert command("queues", "low", "delete", "--match", "HardJob").out == ""
    assert answer[1:] == ["delete all 250 jobs of low?", "delete 125 of 250 jobs of low?"]
    assert command("queues", "low", "clear", "--yes", "--json").lines[0]["done"] == 250
    assert filled.smembers("queues") == {b"empty"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["queues", "lo"], 1, "there is no queue lo; did you mean `low`?"),
        (["queues", "--class", "A"], 2, "that is about jobs: name a queue"),
        (["queues", "--yes"], 2, "that is about jobs: name a queue"),
        (["queues", "low", "retry", "--all"], 2, "retry is no action on a queue; expected delete or clear\n"),
        (["queues", "low", "--all", "--yes"], 2, "--all is given and no action on a queue; expected delete or clear\n"),
        (["queues", "low", "--class", ""], 2, '--class is ""; expected what the jobs have'),
        (["queues", "low", "clear", "--class", "A"], 2, "clear empties the whole queue; use delete"),
        (["queues", "low", "delete"], 2, "delete which jobs?"),
        (["queues", "low", "delete", "abc", "--all"], 2, "delete which jobs?"),
        (["queues", "low", "clear"], 2, "this asks before it changes anything"),
        (["pause"], 2, "missing argument 'QUEUE...'"),
    ],
)
def test_what_is_not_clear_is_refused(
    filled: redis_py.Redis, command: Command, arguments: list[str], code: int, message: str
) -> None:
    ran = command(*arguments)
    assert ran.code == code
    assert ran.err.startswith(f"pykiq: {message}")


def test_queues_are_paused_and_resumed(redis: redis_py.Redis, command: Command) -> None:
    redis.sadd("queues", "low", "high")
    assert command("pause", "low", "high")[:] == (0, "low: paused\nhigh: paused\n", "")
    assert redis.smembers("paused") == {b"low", b"high"}
    assert command("pause", "low").out == "low: was paused already\n"
    assert command("resume", "low", "low").out == "low: resumed\nlow: was not paused\n"


def test_a_queue_that_nobody_knows_is_paused_too_and_a_misspelt_name_guessed(
    redis: redis_py.Redis, command: Command
) -> None:
    redis.sadd("queues", "default")
    ran = command("pause", "defualt", "default")
    assert ran.out == "defualt: paused\ndefault: paused\n"
    assert ran.err == "  nobody pushes to it or serves it yet; did you mean `default`?\n"


def test_whoever_takes_no_notice_of_a_pause_is_named(redis: redis_py.Redis, command: Command) -> None:
    redis.sadd("processes", "ruby:1:a", "python:1:b")
    redis.hset("ruby:1:a", "info", json.dumps({"queues": ["low"], "version": "8.1.7"}))
    redis.hset("python:1:b", "info", json.dumps({"queues": ["low", "high"], "version": "pykiq-0.1.0"}))
    assert "1 Ruby process on it: only Sidekiq Pro heeds this" in command("pause", "low").err
    assert command("pause", "high").err == ""

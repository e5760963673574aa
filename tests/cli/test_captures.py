"""Every command that lists jobs, on everything that the three real Sidekiqs left in a hundred recorded cases."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import redis as redis_py

from tests.admin.test_fleet import restore
from tests.captures import VERSIONS, Capture, every, read
from tests.cli.inside import Command

FAMILIES = ("retry_*", "exhausted_*", "perform_*", "error_*", "aj_*")
SETS = {"retries": "retry", "scheduled": "schedule", "dead": "dead"}


def captures(version: str) -> Iterator[Capture]:
    return (capture for family in FAMILIES for capture in every(family) if capture.version == version)


def put(redis: redis_py.Redis, capture: Capture) -> None:
    redis.flushall()
    for key, entry in capture.data["redis"].items():
        if key in SETS.values():
            redis.zadd(key, dict(zip(capture.members(key), capture.scores(key), strict=True)))
        elif key == "queues":
            redis.sadd(key, *entry["value"])
        elif key.startswith("queue:"):
            redis.rpush(key, *capture.members(key))


@pytest.mark.system
@pytest.mark.parametrize("version", VERSIONS)
def test_all_that_ruby_left_is_listed(version: str, redis: redis_py.Redis, command: Command) -> None:
    seen = 0
    for capture in captures(version):
        put(redis, capture)
        for name, key in SETS.items():
            if members := capture.members(key):
                lines = command(name, "--json").lines
                assert sorted(json.dumps(line["job"]) for line in lines) == sorted(
                    json.dumps(json.loads(raw)) for raw in members
                ), capture
                rows = command(name).out.splitlines()
                assert len(rows) == 1 + len(members), capture
                assert lines[0]["class"] in rows[1], capture
                seen += len(members)
        for queue in command("queues", "--json").lines:
            lines = command("queues", queue["name"], "--json").lines
            assert [line["job"] for line in lines] == list(map(json.loads, capture.members(f"queue:{queue['name']}")))
            assert queue["size"] == len(lines)
            assert queue["latency"] > 0 or not lines
            seen += len(lines)
    assert seen > 60


@pytest.mark.parametrize("version", VERSIONS)
def test_the_numbers_the_doctor_and_top_know_ruby_s_process(
    version: str, redis: redis_py.Redis, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "COLUMNS", "200"
    )  # what was recorded grows older, and "14 h 18 m" pushes others off a narrow page
    capture = read(version, "heartbeat_busy")
    restore(redis, capture)
    (numbers,) = command("stats", "--json").lines
    assert (numbers["processes"], numbers["busy"] > 0) == (1, True)
    (told,) = [line for line in command("doctor", "--json").lines if line["check"] == "versions"]
    assert told["text"].startswith(f"Sidekiq {'6.x' if version.startswith('6') else version}; new jobs are written in")
    assert told["text"].endswith(f" {version[0]}")
    drawn = command("top", "--once").out
    (process,) = command("processes", "--json").lines
    for work in command("busy", "--json").lines:
        assert work["jid"] in drawn
        assert work["class"] in drawn
    assert process["identity"] in drawn
    assert command("quiet", "--all").out == f"{process['identity']}: told to quiet, within 10 s\n"

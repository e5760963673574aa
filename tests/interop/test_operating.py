"""Ruby's own API changes entries that Python wrote, and the effect is right: exactly one entry, never two."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.interop.conftest import ARGS, Entries, Fleet

pytestmark = pytest.mark.interop

PLACES = ("queue:python", "retry", "schedule", "dead")


@pytest.fixture
def entry(python_entries: Entries, fleet: Fleet) -> Callable[[str], str]:
    """Puts one entry that Python wrote into the set it was written to; its jid."""

    def put(key: str) -> str:
        raw, score = python_entries[key][0]
        fleet.redis.zadd(key, {raw: score})
        return str(json.loads(raw)["jid"])

    return put


def held(fleet: Fleet) -> dict[str, list[str]]:
    """The jids in every place a job of these tests can be."""
    return {place: jids for place in PLACES if (jids := [job["jid"] for job in fleet.members(place)])}


def job(fleet: Fleet, place: str) -> dict[str, Any]:
    (only,) = fleet.members(place)
    assert only["args"] == [*ARGS, 0]
    return only


def test_ruby_reschedules_a_retry_that_python_wrote(fleet: Fleet, entry: Callable[..., str]) -> None:
    jid = entry("retry")
    before = job(fleet, "retry")
    then = time.time() + 7200

    fleet.ask("entry('retry', jid).reschedule(at)", jid=jid, at=then)

    assert held(fleet) == {"retry": [jid]}
    assert job(fleet, "retry") == before
    assert fleet.redis.zrange("retry", 0, -1, withscores=True)[0][1] == pytest.approx(then, abs=0.01)


def test_ruby_retries_now_what_python_failed(fleet: Fleet, entry: Callable[..., str]) -> None:
    jid = entry("retry")

    fleet.ask("entry('retry', jid).retry", jid=jid)

    assert held(fleet) == {"queue:python": [jid]}
    assert job(fleet, "queue:python")["retry_count"] == -1


def test_ruby_adds_a_retry_to_its_queue(fleet: Fleet, entry: Callable[..., str]) -> None:
    jid = entry("retry")

    fleet.ask("entry('retry', jid).add_to_queue", jid=jid)

    assert held(fleet) == {"queue:python": [jid]}
    assert job(fleet, "queue:python")["retry_count"] == 0


def test_ruby_kills_a_retry_that_python_wrote(fleet: Fleet, entry: Callable[..., str]) -> None:
    jid = entry("retry")
    before = fleet.redis.zrange("retry", 0, -1)

    fleet.ask("entry('retry', jid).kill", jid=jid)

    assert held(fleet) == {"dead": [jid]}
    assert fleet.redis.zrange("dead", 0, -1) == before


@pytest.mark.parametrize("key", ["retry", "schedule", "dead"])
def test_ruby_deletes_an_entry_that_python_wrote(fleet: Fleet, entry: Callable[..., str], key: str) -> None:
    jid = entry(key)

    fleet.ask("entry(set, jid).delete", set=key, jid=jid)

    assert held(fleet) == {}


def test_ruby_adds_what_python_scheduled_to_its_queue(fleet: Fleet, entry: Callable[..., str]) -> None:
    jid = entry("schedule")

    fleet.ask("entry('schedule', jid).add_to_queue", jid=jid)

    assert held(fleet) == {"queue:python": [jid]}
    assert "at" not in job(fleet, "queue:python")


def test_ruby_reschedules_what_python_scheduled(fleet: Fleet, entry: Callable[..., str]) -> None:
    jid = entry("schedule")
    then = time.time() + 60

    fleet.ask("entry('schedule', jid).reschedule(Time.at(at))", jid=jid, at=then)

    assert held(fleet) == {"schedule": [jid]}
    assert fleet.redis.zrange("schedule", 0, -1, withscores=True)[0][1] == pytest.approx(then, abs=0.01)


def test_ruby_retries_what_python_gave_up(fleet: Fleet, entry: Callable[..., str]) -> None:
    jid = entry("dead")

    fleet.ask("entry('dead', jid).retry", jid=jid)

    assert held(fleet) == {"queue:python": [jid]}
    assert job(fleet, "queue:python")["retry_count"] == -1
    # and Python's next failure of it is the first one again, which its `retry: 0` makes the last
    fleet.python("-q", "python", "-c", "1")
    fleet.wait(lambda: fleet.redis.zcard("dead") == 1, what="its second death")
    assert held(fleet) == {"dead": [jid]}
    assert job(fleet, "dead")["retry_count"] == 0


def test_ruby_empties_and_retries_whole_sets_of_python_s_entries(fleet: Fleet, entry: Callable[..., str]) -> None:
    jid = entry("retry")

    fleet.ask("Sidekiq::RetrySet.new.kill_all")
    assert held(fleet) == {"dead": [jid]}
    fleet.ask("Sidekiq::DeadSet.new.retry_all")
    assert held(fleet) == {"queue:python": [jid]}
    fleet.ask("Sidekiq::Queue.new('python').clear")
    assert held(fleet) == {}

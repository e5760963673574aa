"""The names of the keys are those that Ruby uses."""

from __future__ import annotations

import datetime

import pytest

from pykiq.wire import keys
from tests import captures


@pytest.mark.parametrize("version", captures.VERSIONS)
def test_the_keys_of_a_busy_process_are_rubys(version: str) -> None:
    held = captures.read(version, "heartbeat_busy").data["redis"]
    [identity] = captures.read(version, "heartbeat_busy").members(keys.PROCESSES)
    name = identity.decode()
    assert keys.process(name) in held
    assert (keys.workers(name) if version == "6.4.1" else keys.work(name)) in held
    sent = [word.decode() for command in captures.read(version, "heartbeat_busy").commands for word in command.words]
    assert keys.signals(name) in sent
    assert str(keys.PROCESS_TTL) in sent


@pytest.mark.parametrize("version", captures.VERSIONS)
def test_the_keys_of_jobs_and_counters_are_rubys(version: str) -> None:
    held = {}
    for name in (
        "perform_async",
        "perform_in",
        "retry_first_failure",
        "exhausted_dead",
        "stats",
        "unknown_class_failure",
    ):
        held.update(captures.read(version, name).data["redis"])
    day = keys.utc_day(1795315631.7)
    assert day == "2026-11-22"
    for key in (
        keys.QUEUES,
        keys.queue("default"),
        keys.SCHEDULE,
        keys.RETRY,
        keys.DEAD,
        keys.STAT_PROCESSED,
        keys.STAT_FAILED,
        keys.stat_processed(day),
        keys.stat_failed(datetime.date(2026, 11, 22)),
    ):
        assert key in held, key
    assert held[keys.stat_failed(day)]["ttl"] == keys.STAT_DAY_TTL


def test_pykiqs_own_keys_begin_with_its_name() -> None:
    assert keys.inflight("host:1:abc", "default") == "pykiq:inflight:host:1:abc:default"
    assert keys.lease("host:1:abc") == "pykiq:lease:host:1:abc"
    assert keys.takeovers("abc", "0f") == "pykiq:takeovers:abc:0f"
    assert (keys.OWNERS, keys.SWEEP) == ("pykiq:owners", "pykiq:sweep")


def test_a_day_is_one_in_utc() -> None:
    assert keys.utc_day(1795391999.9) == "2026-11-22"
    assert keys.utc_day(1795392000.0) == "2026-11-23"


@pytest.mark.parametrize("queue", ["default", "a:b", "", "new\nline"])
def test_the_name_of_an_in_flight_list_tells_whose_it_is(queue: str) -> None:
    owner = "web.1:7:0123456789ab"
    assert keys.owner_and_queue(keys.inflight(owner, queue)) == (owner, queue)
    assert keys.owner_and_queue(keys.queue(queue)) is None

"""Processes and running jobs, of all three Sidekiqs and of pykiq."""

from __future__ import annotations

import json
import time

import pytest
import redis as redis_py

from pykiq import Client
from pykiq.admin import ProcessSet, WorkSet
from pykiq.errors import StoreError
from tests.captures import VERSIONS, Capture, read


def restore(redis: redis_py.Redis, capture: Capture) -> None:
    """Put the processes of a capture into Redis as they were."""
    for key, entry in capture.data["redis"].items():
        if entry["type"] == "hash":
            redis.hset(key, mapping=entry["value"])
        elif entry["type"] == "set":
            redis.sadd(key, *entry["value"])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ruby_process_and_its_jobs_are_read(version: str, client: Client, redis: redis_py.Redis) -> None:
    restore(redis, read(version, "heartbeat_busy"))
    (process,) = ProcessSet(client)
    info = json.loads(redis.hget(process.identity, "info"))
    assert (process.hostname, process.pid, process.tag) == (info["hostname"], info["pid"], info["tag"])
    assert process.queues == info["queues"]
    assert process.concurrency > 0
    assert process.busy > 0
    assert process.beat is not None
    assert process.started_at is not None
    assert process.beat > process.started_at
    assert (process.rss > 0, process.stopping, process.embedded) == (True, False, False)
    assert process.version == info.get("version")
    assert process["rtt_us"] == int(redis.hget(process.identity, "rtt_us"))
    works = list(WorkSet(client))
    assert len(works) == process.busy == WorkSet(client).size
    for work in works:
        assert work.process_id == process.identity
        assert work.payload["class"] == work.job.klass
        assert work.run_at is not None
        assert work.elapsed > 0
    found = WorkSet(client).find_work(str(works[0].job.jid))
    assert found is not None
    assert found.thread_id == works[0].thread_id
    assert WorkSet(client).find_work("none") is None


@pytest.mark.parametrize("name", ["heartbeat_capsules", "heartbeat_idle_strict"])
def test_capsules_and_weights_are_told_where_they_are(name: str, client: Client, redis: redis_py.Redis) -> None:
    restore(redis, read("8.1.7", name))
    (process,) = ProcessSet(client)
    assert sum(capsule["concurrency"] for capsule in process.capsules.values()) == process.concurrency
    assert process.queues == list(dict.fromkeys(queue for weights in process.weights for queue in weights))


def test_odd_processes_and_jobs_are_shown_as_what_they_are(client: Client, redis: redis_py.Redis) -> None:
    redis.sadd("processes", "gone:1:a", "list", "broken:2:b", "array:3:c", "ok:4:d")
    redis.lpush("list", "x")
    redis.hset("broken:2:b", "info", "{")
    redis.hset("array:3:c", "info", "[1]")
    redis.hset("ok:4:d", mapping={"info": "{}", "busy": "many", "beat": "then"})
    works = {"1": "{", "2": "[]", "3": '{"queue":"q","payload":{"class":"A"},"run_at":5}', "4": '{"payload":"x"}'}
    redis.hset("ok:4:d:work", mapping=works)
    processes = list(ProcessSet(client))
    assert [one.identity for one in processes] == ["array:3:c", "broken:2:b", "ok:4:d"]
    assert {(one.busy, tuple(one.queues), one.version, one.beat) for one in processes} == {(0, (), None, None)}
    works = list(WorkSet(client))
    assert [(work.thread_id, work.job.klass) for work in works] == [("1", None), ("2", None), ("4", None), ("3", "A")]
    assert [work.job.raw for work in works[:2]] == [b"{", b"[]"]
    assert [(work.run_at, work.elapsed) for work in works[:3]] == [(None, 0.0)] * 3


def test_a_process_that_writes_both_work_keys_is_counted_once(client: Client, redis: redis_py.Redis) -> None:
    redis.sadd("processes", "p:1:a")
    for key in ("p:1:a:work", "p:1:a:workers"):
        redis.hset(key, "t", '{"queue":"q","payload":"{}","run_at":5}')
    assert len(list(WorkSet(client))) == 1


def test_quiet_stop_and_dump_leave_a_signal(client: Client, redis: redis_py.Redis) -> None:
    restore(redis, read("8.1.7", "heartbeat_idle"))
    (process,) = ProcessSet(client)
    with pytest.raises(TypeError):
        assert "pid" in process  # type: ignore[operator]
    process.quiet()
    process.stop()
    process.dump_threads()
    assert redis.lrange(f"{process.identity}-signals", 0, -1) == [b"TTIN", b"TERM", b"TSTP"]
    assert 0 < redis.ttl(f"{process.identity}-signals") <= 60


def test_an_embedded_process_is_not_stopped_from_outside(client: Client, redis: redis_py.Redis) -> None:
    restore(redis, read("8.1.7", "heartbeat_embedded"))
    (process,) = ProcessSet(client)
    with pytest.raises(StoreError, match="stop that program"):
        process.stop()
    assert not redis.exists(f"{process.identity}-signals")


def test_the_whole_fleet_is_summed_up_and_cleaned(client: Client, redis: redis_py.Redis) -> None:
    for version in ("7.3.2", "8.1.7"):
        restore(redis, read(version, "heartbeat_idle"))
    redis.sadd("processes", "ghost:1:a")
    fleet = ProcessSet(client)
    assert fleet.size == len(fleet) == 2
    assert fleet.total_concurrency == sum(process.concurrency for process in fleet)
    assert fleet.total_rss == sum(process.rss for process in fleet)
    assert fleet.leader == ""
    redis.set("dear-leader", "someone")
    assert fleet.leader == "someone"
    assert (fleet.cleanup(), fleet.cleanup()) == (1, 0)
    (first, _) = fleet
    assert fleet.get(first.identity) is not None
    assert fleet.get("nobody") is None


def test_how_long_a_job_has_run_is_never_negative(client: Client, redis: redis_py.Redis) -> None:
    redis.sadd("processes", "p:1:a")
    redis.hset("p:1:a:work", "t", json.dumps({"queue": "q", "payload": "{}", "run_at": int(time.time()) + 99}))
    (work,) = WorkSet(client)
    assert work.elapsed == 0.0

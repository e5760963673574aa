"""A Redis in which somebody has put keys of the wrong type, or garbage, where jobs and processes should be."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import redis as redis_py

from tests.bad_input.bench import Bench, payload
from tests.servers import Server, wait_until


@pytest.fixture
def url(own_server: Server) -> str:
    return own_server.url.replace("/0", "/1")


@pytest.fixture
def two_queues(client: redis_py.Redis, url: str) -> Iterator[Bench]:
    made = Bench(client, url, queues=["wrong", "default"], lease_ttl=1.0, sweep_interval=0.3)
    yield made
    assert made.stop() == 0


@pytest.mark.system
def test_a_queue_that_is_no_list_does_not_keep_the_other_queues_from_running(
    two_queues: Bench, client: redis_py.Redis
) -> None:
    client.set("queue:wrong", "not a list")
    two_queues.start()
    for _ in range(5):
        two_queues.goes_on(seconds=15)
    wait_until(lambda: not two_queues.in_flight(), 10, "nothing in flight")
    client.delete("queue:wrong")
    two_queues.goes_on("wrong", seconds=15)


def test_jobs_whose_retry_set_is_no_set_are_kept_until_it_is_one(two_queues: Bench, client: redis_py.Redis) -> None:
    def fail() -> None:
        raise ValueError("as asked")

    two_queues.handler("FailJob", fail)
    two_queues.start()
    client.set("retry", "not a sorted set")
    two_queues.push(payload("FailJob", note="kept"))
    two_queues.goes_on(seconds=15)
    assert b'"note":"kept"' in b"".join(two_queues.in_flight())
    client.delete("retry")
    wait_until(lambda: client.zcard("retry") == 1, 15, "the retry entry")
    assert b'"note":"kept"' in two_queues.entries("retry")[0]
    two_queues.goes_on(seconds=15)


@pytest.mark.system
def test_jobs_of_a_dead_process_are_kept_while_their_queue_is_no_list_and_the_others_are_taken_over(
    two_queues: Bench, client: redis_py.Redis
) -> None:
    client.set("queue:wrong", "not a list")
    odd = b'{"class":"EchoJob","args":["odd"],"jid":"\xff\xfe"}'
    huge = b'{"class":"EchoJob","args":["huge"],"jid":%s}' % (b"9" * 5000)
    stuck = payload("EchoJob", ["stuck"], queue="wrong")
    client.hset("pykiq:owners", "gone:1:a", '["wrong","default"]')
    client.rpush("pykiq:inflight:gone:1:a:wrong", stuck)
    client.rpush("pykiq:inflight:gone:1:a:default", odd, huge, b"not a job")
    client.hset("pykiq:owners", "gone:2:b", '["default"]')
    client.rpush("pykiq:inflight:gone:2:b:default", payload("EchoJob", ["other"]))
    two_queues.start()
    wait_until(lambda: {("odd",), ("huge",), ("other",)} <= set(two_queues.ran), 15, "the jobs taken over")
    wait_until(lambda: two_queues.entries("dead") == [b"not a job"], 5, "the unreadable one dead")
    wait_until(lambda: two_queues.in_flight() == [stuck], 5, "the others settled")
    client.delete("queue:wrong")
    wait_until(lambda: ("stuck",) in two_queues.ran, 15, "the last job taken over")


@pytest.mark.parametrize(
    "garbage",
    [b"", b"[]", b"\xff", b"nonsense", b'{"queue":5}', b"[1,null]", b'"default"', b'["\\udce9"]', b'["\xe9"]'],
)
def test_garbage_in_the_hash_of_owners_does_not_keep_the_others_from_being_taken_over(
    two_queues: Bench, client: redis_py.Redis, garbage: bytes
) -> None:
    client.hset("pykiq:owners", b"a:garbage", garbage)
    client.hset("pykiq:owners", b"\xff:garbage", garbage)
    client.hset("pykiq:owners", "gone:2:b", '["default"]')
    client.rpush("pykiq:inflight:gone:2:b:default", payload("EchoJob", ["other"]))
    two_queues.start()
    wait_until(lambda: two_queues.ran == [("other",)], 15, "the job taken over")
    client.delete("pykiq:owners")


def test_garbage_among_the_processes_does_not_keep_a_worker_from_starting_and_beating(
    two_queues: Bench, client: redis_py.Redis
) -> None:
    client.sadd("processes", "ghost:1:a", "string:1:b", "odd:1:c", "deep:1:d", b"\xff\xfe", "retry")
    client.set("string:1:b", "not a hash")
    client.hset("odd:1:c", "info", b'{"version":["7"],"pykiq":{}}\xff')
    client.hset("deep:1:d", "info", b"[" * 100_000)
    client.hset(b"\xff\xfe", "info", b'{"version":7.3}')
    client.zadd("retry", {b"not a job": 1.0})
    two_queues.start()
    two_queues.goes_on()
    assert client.hget(two_queues.process.identity, "beat") is not None
    client.sadd("processes", two_queues.process.identity)
    client.lpush(f"{two_queues.process.identity}-signals", b"\xff", "NOSUCH", "")
    two_queues.goes_on()


def test_a_database_emptied_while_jobs_run_stops_no_worker(two_queues: Bench, client: redis_py.Redis) -> None:
    go_on = threading.Event()
    two_queues.handler("SlowJob", lambda: go_on.wait(20))
    two_queues.start()
    two_queues.push(payload("SlowJob"))
    wait_until(lambda: len(two_queues.process.exchange.running()) == 1, 10, "the slow job running")
    client.flushdb()
    client.script_flush()
    go_on.set()
    two_queues.goes_on()
    wait_until(two_queues.settled, 10, "nothing in flight")
    two_queues.nothing_left()

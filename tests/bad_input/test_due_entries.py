"""Entries of `schedule` and `retry` that no client could push: Ruby loses them, here they are dead (WIRE.md §9)."""

from __future__ import annotations

import time

import pytest

from pykiq.wire.exactjson import loads
from tests.bad_input.bench import Bench, payload
from tests.servers import wait_until

HUGE = b"1" + b"0" * 5000

INVALID = {
    "empty": b"",
    "broken": b'{"class":"EchoJob"',
    "binary": bytes(range(256)),
    "array": b"[1]",
    "null": b"null",
    "no class": b'{"args":[1],"queue":"default"}',
    "class a number": b'{"class":5,"args":[1],"queue":"default"}',
    "no args": b'{"class":"EchoJob","queue":"default"}',
    "args null": b'{"class":"EchoJob","args":null,"queue":"default"}',
    "args an object": b'{"class":"EchoJob","args":{"a":1},"queue":"default"}',
    "queue empty": b'{"class":"EchoJob","args":[1],"queue":""}',
    "queue a number": b'{"class":"EchoJob","args":[1],"queue":5}',
    "101 levels": b'{"class":"EchoJob","queue":"default","args":' + b"[" * 100 + b"]" * 100 + b"}",
    "lone surrogate": b'{"class":"EchoJob","args":["\\udc00"],"queue":"default"}',
}


@pytest.mark.parametrize("key", ["schedule", "retry"])
@pytest.mark.parametrize("raw", INVALID.values(), ids=INVALID.keys())
def test_a_due_entry_that_is_no_job_is_dead_with_its_bytes_and_the_next_one_runs(
    bench: Bench, raw: bytes, key: str
) -> None:
    bench.redis.zadd(key, {raw: 1.0, payload("EchoJob", ["due"]): 2.0})
    wait_until(lambda: bench.ran == [("due",)], 10, "the due job behind the invalid one")
    bench.goes_on()
    assert bench.only("dead").removeprefix(b"not a job: ") == raw


ODD = {
    "huge at": b'{"class":"EchoJob","args":["odd"],"queue":"default","at":%s}' % HUGE,
    "at past every float": b'{"class":"EchoJob","args":["odd"],"queue":"default","at":1e400}',
    "at a string": b'{"class":"EchoJob","args":["odd"],"queue":"default","at":"noon"}',
    "at in the past": b'{"class":"EchoJob","args":["odd"],"queue":"default","at":5}',
    "huge jid": b'{"class":"EchoJob","args":["odd"],"queue":"default","jid":%s}' % HUGE,
    "jid null": b'{"class":"EchoJob","args":["odd"],"queue":"default","jid":null}',
    "jid not UTF-8": b'{"class":"EchoJob","args":["odd"],"queue":"default","jid":"\xff"}',
    "queue not UTF-8": b'{"class":"EchoJob","args":["odd"],"queue":"\xff\xfe"}',
    "created_at huge": b'{"class":"EchoJob","args":["odd"],"queue":"default","created_at":%s}' % HUGE,
    "created_at null": b'{"class":"EchoJob","args":["odd"],"queue":"default","created_at":null}',
    "number past every float": b'{"class":"EchoJob","args":["odd",1e400],"queue":"default"}',
}


@pytest.mark.parametrize("raw", ODD.values(), ids=ODD.keys())
def test_an_odd_due_entry_arrives_in_its_queue_or_waits_and_the_next_one_runs(bench: Bench, raw: bytes) -> None:
    odd_queue = b"queue:\xff\xfe"
    bench.redis.delete(odd_queue)
    bench.redis.zadd("schedule", {raw: 1.0, payload("EchoJob", ["due"]): 2.0})
    wait_until(lambda: ("due",) in bench.ran, 10, "the due job behind the odd one")
    bench.goes_on()
    wait_until(bench.settled, 10, "nothing in flight")
    there = [entry for key in ("schedule", "dead") for entry in bench.entries(key)]
    there += bench.redis.lrange(odd_queue, 0, -1)
    runs = [args for args in bench.ran if args[0] == "odd"]
    assert len(runs) + len(there) == 1
    assert all(loads(entry)["args"][0] == "odd" for entry in there)
    bench.redis.srem("queues", b"\xff\xfe")


def test_a_due_entry_whose_queue_is_not_a_list_waits_and_the_others_run(bench: Bench) -> None:
    bench.redis.set("queue:wrong", "not a list")
    raw = payload("EchoJob", ["refused"], queue="wrong")
    bench.redis.zadd("retry", {raw: 1.0, payload("EchoJob", ["due"]): 2.0})
    try:
        wait_until(lambda: bench.ran == [("due",)], 10, "the due job behind the refused one")
        bench.goes_on()
        (entry,) = bench.entries("retry") + bench.entries("dead")
        assert loads(entry)["args"] == ["refused"]
    finally:
        bench.redis.delete("queue:wrong")
        bench.redis.srem("queues", "wrong")


def test_three_thousand_invalid_due_entries_do_not_keep_a_due_job_waiting_for_long(bench: Bench) -> None:
    bench.redis.zadd("schedule", {b"broken %d" % number: 1.0 for number in range(3000)})
    bench.redis.zadd("schedule", {payload("EchoJob", ["due"]): time.time()})
    wait_until(lambda: bench.ran == [("due",)], 20, "the due job behind the invalid ones")
    assert bench.redis.zcard("schedule") == 0
    assert bench.redis.zcard("dead") == 3000

"""A zoo of odd entries, written into a real server wherever a job, a score or a heartbeat is read from."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from typing import Any

import redis as redis_py

HUGE = b"9" * 5000
BOMB = base64.b64encode(zlib.compress(b'["' + b'a.py:1:in f","' * 1_500_000 + b'"]', 9)).decode()  # 20 MB out of 30 kB


def _job(**keys: Any) -> bytes:
    return json.dumps({"class": "HardJob", "args": [1], "jid": "a" * 24, "queue": "low", **keys}).encode()


MAIL = "ActionMailer::MailDeliveryJob"

_ODD_KEYS: tuple[dict[str, Any], ...] = (
    {"wrapped": {}}, {"wrapped": []}, {"wrapped": 5}, {"wrapped": "A", "args": {}},
    *({"wrapped": MAIL, "args": [{"arguments": one}]} for one in ([1, [], {}], ["A"], ["A", "b", "c", {"args": 5}])),
    {"wrapped": MAIL, "args": [{"arguments": ["A", "b", "c", {"args": [], "params": {"x": 1}}]}]},
    *({"class": one} for one in (["A"], {}, None, "", 1.5, "::")),
    *({"args": one} for one in ({}, "x", None, 5, [{"a": [[[]]]}])), {"encrypt": True, "args": []},
    *({"retry_count": one} for one in ([1], "5", -3, True, 1.5, 2**80)),
    {"enqueued_at": "now", "created_at": [], "failed_at": {}, "retried_at": True},
    {"enqueued_at": -5, "created_at": 10**18}, {"error_class": 5, "error_message": []}, {"error_class": "E"},
    {"error_class": ["E"], "error_message": {}}, {"error_class": "E\x1b[31m", "error_message": "a\nb\x00"},
    *({"jid": one} for one in (5, None, "", [])), *({"queue": one} for one in (None, [], "", 5)),
    {"tags": 5}, {"tags": [[]]}, {"bid": {}}, {"at": "soon"}, {"retry": {}}, {"retry_queue": []},
    *({"error_backtrace": one} for one in ("garbage", 5, BOMB, BOMB[:500], "\u20ac")),
    {"error_backtrace": base64.b64encode(zlib.compress(b"{}")).decode()},
    {"display_class": {}}, {"display_class": 5}, {"note": "x" * 200_000},
)  # fmt: skip

JOBS = (
    *(b"", b"not json", b"\xff\xfe\x00", b"[1,2]", b"5", b"null", b'"text"', b"true", b"{}"),
    *(b"[" * 50_000, b'{"a":' * 3000, b'{"class":NaN}', b'{"class":"A","args":[1e999,-1e999]}'),
    b'{"jid":"\xff","class":"\xff","queue":"\xff","args":["\xff"]}',
    b'{"class":"A","args":[%s],"jid":%s,"queue":%s,"retry_count":%s,"enqueued_at":%s,"failed_at":%s}' % ((HUGE,) * 6),
    b'{"class":"A","args":[],"retry_count":1e999,"enqueued_at":1e999,"failed_at":-1e999,"created_at":1e308}',
    *(_job(**keys) for keys in _ODD_KEYS),
)
"""What a queue, a set or a record of running work may hold."""

SCORES = ("+inf", "-inf", "0", "-5", "1e300", "-1e300", "1.5", "99999999999999999", "253402300800")

NUMBERS = (b"inf", b"-inf", b"nan", b"1e999", b"", b"-5", b"many", b"\xff", b"1.5", b"true", HUGE, b"[]", b"10" * 100)
"""What a field of a heartbeat, or a counter, may hold."""

INFOS = (
    *(b"", b"{", b"[]", b"null", b"\xff", b"[" * 50_000, b"5", b'{"pid":NaN}'),
    b'{"pid":%s,"started_at":%s,"version":%s}' % ((HUGE,) * 3),
    b'{"pid":1e999,"started_at":-1e999,"concurrency":1e999}',
    b'{"pid":"x","hostname":5,"tag":[],"labels":5,"version":[]}',
    b'{"queues":{},"weights":5,"capsules":[],"embedded":[]}',
    b'{"queues":[5,null,[]],"labels":[{}],"started_at":true}',
    b'{"capsules":{"a":5,"b":{"weights":7},"c":{"weights":[1]},"d":{"weights":{"low":1}}}}',
    b'{"started_at":"now","pid":true}',
    b'{"version":"99999999999999999999.1"}',
    b'{"version":"%s"}' % HUGE,
    b'{"version":"pykiq-","queues":["low","caf\\u00e9"]}',
)

NAMES = (
    b"low",
    b"caf\xe9",
    b"\xff\xfe",
    b"",
    b" ",
    b"a\nb",
    b"\x1b[31mred",
    b"-x",
    b"a b",
    b"\x00",
    b"a,3",
    "\u202ename".encode(),
)
"""Names of queues and of processes."""

WORKS = (
    *(b"", b"{", b"[]", b"null", b"\xff", HUGE, b'{"run_at":1e999}', b'{"run_at":"then","queue":[],"payload":5}'),
    *(b'{"queue":5,"run_at":-5,"payload":[]}', b'{"queue":"low","run_at":%s,"payload":{}}' % HUGE),
    *(b'{"payload":{"wrapped":{}}}', b'{"payload":{"args":[1e999]}}'),
)

OTHER_TYPES = (
    "queues",
    "retry",
    "schedule",
    "dead",
    "processes",
    "paused",
    "stat:processed",
    "stat:failed",
    "pykiq:owners",
)
"""Keys under which there may be something of another type."""


def fill(client: redis_py.Redis) -> None:
    """All of it."""
    for key in ("retry", "schedule", "dead"):
        for number, job in enumerate(JOBS):
            client.zadd(key, {job: SCORES[number % len(SCORES)]})
        for score in SCORES:
            client.zadd(key, {_job(jid=f"score {score}"): score})
    for name in NAMES:
        client.sadd("queues", name)
        client.lpush(b"queue:" + name, *JOBS)
        client.sadd("paused", name) if name.startswith(b"c") else None
    client.sadd("queues", "string", "gone")
    client.set("queue:string", "no list")
    client.mset({"stat:processed": NUMBERS[0], "stat:failed": HUGE, "dear-leader": b"\xff"})
    for number, (identity, fields) in enumerate(_beats()):
        client.sadd("processes", identity)
        client.hset(identity, mapping=fields)  # type: ignore[arg-type]
        suffix = b":workers" if number % 2 else b":work"
        client.hset(identity + suffix, mapping={b"t%d\xff" % n: work for n, work in enumerate(WORKS)})  # type: ignore[misc]
    client.sadd("processes", "ghost:1:a", "text:1:b", b"\xff:1:c", "list:1:d")
    client.set("text:1:b", "no hash")
    client.set("list:1:d:work", "no hash")
    client.hset("list:1:d", "busy", "1")
    client.hset("pykiq:owners", mapping={b"\xff:1:0123456789ab": b"[", b"a:1:0123456789ab": b'["low",5]', "b": HUGE})  # type: ignore[misc]
    client.rpush(b"pykiq:inflight:\xff:1:0123456789ab:caf\xe9", *JOBS[:3])
    client.set("pykiq:inflight:a:1:0123456789ab:low", "no list")


def _beats() -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
    numbers = (b"concurrency", b"busy", b"beat", b"rss", b"rtt_us", b"quiet")
    for index, number in enumerate(NUMBERS):
        yield b"odd%d:%d:\xff" % (index, index), {b"info": b"{}", **dict.fromkeys(numbers, number)}
    for index, info in enumerate(INFOS):
        yield b"info%d:%d:c" % (index, index), {b"info": info, b"busy": b"1"}
    for index, name in enumerate(NAMES):
        yield b"name:%d:" % index + name, {b"info": b"{}", b"busy": b"1"}


def break_type(client: redis_py.Redis, key: str) -> None:
    """Something of another type under that key."""
    client.delete(key)
    client.xadd(key, {"x": "y"})

"""Payloads that Ruby would run, odd as they are: they run, and when they fail nothing of them is lost (WIRE.md §19)."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pykiq.wire.exactjson import loads
from tests.bad_input.bench import Bench, payload

HUGE = "1" + "0" * 5000  # more digits than Python prints without being asked twice


def fail(*args: object) -> None:
    raise ValueError("as asked")


RUNS: dict[str, tuple[bytes, Any]] = {
    "nothing but a class": (b'{"class":"EchoJob"}', ()),
    "leading colons": (b'{"class":"::EchoJob","args":[1]}', (1,)),
    "args null": (b'{"class":"EchoJob","args":null}', ()),
    "args an object": (b'{"class":"EchoJob","args":{"a":1,"b":2}}', (["a", 1], ["b", 2])),
    "args a string": (b'{"class":"EchoJob","args":"text"}', ("text",)),
    "args a number": (b'{"class":"EchoJob","args":7}', (7,)),
    "white space": (b' \n{ "class" : "EchoJob" , "args" : [ 1 ] }\t', (1,)),
    "a key twice": (b'{"class":"GoodJob","args":[1],"class":"EchoJob","args":[2]}', (2,)),
    "not UTF-8": (b'{"class":"EchoJob","args":["\xff\xfe"]}', ("\udcff\udcfe",)),
    "nul": (b'{"class":"EchoJob","args":["a\\u0000b"]}', ("a\0b",)),
    "past every float": (b'{"class":"EchoJob","args":[1e400]}', (math.inf,)),
    "a huge integer": (b'{"class":"EchoJob","args":[%s]}' % HUGE.encode(), (10**5000,)),
    "99 levels": (b'{"class":"EchoJob","args":' + b"[" * 99 + b"]" * 99 + b"}", None),
    "98 levels": (b'{"class":"EchoJob","args":' + b"[" * 98 + b"]" * 98 + b"}", None),
    "no jid": (payload("EchoJob", [1], jid=None), (1,)),
    "jid a huge number": (b'{"class":"EchoJob","args":[1],"jid":%s}' % HUGE.encode(), (1,)),
    "jid an array of them": (b'{"class":"EchoJob","args":[1],"jid":[%s]}' % HUGE.encode(), (1,)),
    "jid not UTF-8": (b'{"class":"EchoJob","args":[1],"jid":"\xff"}', (1,)),
    "no queue": (payload("EchoJob", [1], queue=None), (1,)),
    "queue a number": (payload("EchoJob", [1], queue=7), (1,)),
    "times of every kind": (
        payload("EchoJob", [1], created_at={}, enqueued_at="yesterday", failed_at=[], at=-1, retried_at=True),
        (1,),
    ),
    "huge times": (
        b'{"class":"EchoJob","args":[1],"created_at":%s,"enqueued_at":1e400}' % HUGE.encode(),
        (1,),
    ),
    "negative times": (payload("EchoJob", [1], created_at=-5.5, enqueued_at=-7), (1,)),
    "odd names": (payload("EchoJob", [1], wrapped=7, display_class=["x"], tags=3, locale={}), (1,)),
    "expires in a huge while": (
        b'{"class":"EchoJob","args":[1],"created_at":1700000000.5,"expires_in":%s}' % HUGE.encode(),
        (1,),
    ),
    "expires oddly": (payload("EchoJob", [1], expires_in="soon", timeout="never"), (1,)),
    "retry count of every kind": (payload("EchoJob", [1], retry_count="3", retry=[], backtrace={}), (1,)),
}


@pytest.mark.parametrize(("raw", "args"), RUNS.values(), ids=RUNS.keys())
def test_an_odd_job_runs(bench: Bench, raw: bytes, args: Any) -> None:
    bench.take(raw)
    assert len(bench.ran) == 1
    assert args is None or bench.ran == [args]
    bench.nothing_left()


@pytest.mark.parametrize("raw", [raw for raw, _ in RUNS.values()], ids=RUNS.keys())
def test_an_odd_job_that_fails_keeps_every_byte_of_its_arguments(bench: Bench, raw: bytes) -> None:
    bench.handler("FailJob", fail)
    failing = raw.replace(b"EchoJob", b"FailJob")
    bench.take(failing)
    (entry,) = bench.entries("retry") + bench.entries("dead")
    # Compared as read, and as written: `loads` itself must not be what hides a loss.
    assert loads(entry).get("args") == loads(failing).get("args")
    assert all(odd in entry for odd in (b"1e400]", b'"\xff\xfe"', b"[%s]" % HUGE.encode()) if odd in failing)
    assert b"as asked" in entry
    assert bench.entries("dead") == []


ODD_FAILURES: dict[str, tuple[bytes, str]] = {
    "class missing": (b'{"args":[1],"jid":"a","retry":true}', "UnknownClass"),
    "class null": (b'{"class":null,"args":[1],"jid":"a"}', "UnknownClass"),
    "class a number": (b'{"class":5,"args":[1],"jid":"a","retry":true}', "UnknownClass"),
    "class an object": (b'{"class":{"a":1},"args":[1],"retry":true}', "UnknownClass"),
    "class empty": (b'{"class":"","args":[1],"retry":true}', "UnknownClass"),
    "an empty object": (b"{}", "UnknownClass"),
    "too many arguments": (payload("GoodJob", [1, 2, 3]), "SignatureMismatch"),
    "too few arguments": (payload("GoodJob", []), "SignatureMismatch"),
    "timeout huge": (b'{"class":"SlowAsyncJob","args":[],"timeout":%s}' % HUGE.encode(), ""),
}


@pytest.mark.parametrize(("raw", "error"), ODD_FAILURES.values(), ids=ODD_FAILURES.keys())
def test_a_job_that_cannot_run_here_is_retried_with_its_keys(bench: Bench, raw: bytes, error: str) -> None:
    async def slow() -> None:
        raise ValueError("as asked")

    bench.handler("SlowAsyncJob", slow)
    bench.take(raw)
    job = bench.retried()
    assert job["error_class"].endswith(error)
    assert {key: job[key] for key in loads(raw) if key not in ("queue", "retry")} == {
        key: value for key, value in loads(raw).items() if key not in ("queue", "retry")
    }


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"retry": False}, None),
        ({"retry": 0}, "dead"),
        ({"retry": -3}, "dead"),
        ({"retry": 10**400}, "retry"),
        ({"retry": "false"}, "retry"),
        ({"retry": 1.5}, "retry"),
        ({"retry": {}}, "retry"),
        ({"retry": None}, "retry"),
        ({"retry_count": "7"}, "retry"),
        ({"retry_count": {}}, "retry"),
        ({"retry_count": -1}, "retry"),
        ({"retry_count": 1.5}, "retry"),
        ({"retry_count": True}, "retry"),
        ({"retry_count": 10**400}, "retry"),
        ({"retry_count": 24, "retry": True}, "dead"),
        ({"retry_count": 10**90, "retry": 10**99}, None),
        ({"retry_queue": 5}, "retry"),
        ({"retry_queue": ""}, "retry"),
        ({"retry_for": "soon"}, "retry"),
        ({"retry_for": 10**400, "failed_at": 1.5, "retry_count": 1}, "retry"),
        ({"backtrace": "three"}, "retry"),
        ({"backtrace": 10**400}, "retry"),
        ({"backtrace": -1}, "retry"),
        ({"dead": "false", "retry": 0}, "dead"),
        ({"dead": False, "retry": 0}, None),
        ({"failed_at": {}, "retry_count": 1}, "retry"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_odd_retry_settings_never_lose_a_failing_job(bench: Bench, keys: dict[str, Any], where: str | None) -> None:
    bench.handler("FailJob", fail)
    bench.take(payload("FailJob", [1], **keys))
    if where is not None:
        assert loads(bench.only(where))["args"] == [1]
    elif keys.get("retry") is False or keys.get("dead") is False:
        bench.nothing_left()  # that is what they ask for
    else:
        (entry,) = bench.entries("retry") + bench.entries("dead")
        assert loads(entry)["args"] == [1]


@pytest.mark.system
def test_fifty_megabytes_run_fail_and_die_like_anything_else(bench: Bench) -> None:
    sizes: list[int] = []

    def measure(text: str) -> None:
        sizes.append(len(text))
        raise ValueError("as asked")

    bench.handler("SizeJob", measure)
    text = "x" * 50_000_000
    bench.take(payload("SizeJob", [text], retry=0), seconds=30)
    assert sizes == [50_000_000]
    assert loads(bench.only("dead"))["args"] == [text]

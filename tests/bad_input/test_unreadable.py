"""Bytes that are not a job end in `dead` exactly as they are, and the worker goes on (WIRE.md §6, §19)."""

from __future__ import annotations

import pytest

from tests.bad_input.bench import Bench

UNREADABLE = {
    "empty": b"",
    "words": b"not json",
    "binary": bytes(range(256)),
    "truncated": b'{"class":"GoodJob","args":[1',
    "two documents": b'{"class":"GoodJob","args":[1]}{}',
    "single quotes": b"{'class':'GoodJob','args':[1]}",
    "trailing comma": b'{"class":"GoodJob","args":[1,]}',
    "plus one": b'{"class":"GoodJob","args":[+1]}',
    "no digit before the point": b'{"class":"GoodJob","args":[.5]}',
    "no digit after the point": b'{"class":"GoodJob","args":[1.]}',
    "leading zero": b'{"class":"GoodJob","args":[012]}',
    "NaN": b'{"class":"GoodJob","args":[NaN]}',
    "Infinity": b'{"class":"GoodJob","args":[-Infinity]}',
    "control character": b'{"class":"GoodJob","args":["a\nb"]}',
    "lone surrogate": b'{"class":"GoodJob","args":["\\ud800"]}',
    "byte order mark": b'\xef\xbb\xbf{"class":"GoodJob","args":[1]}',
    "comment": b'{"class":"GoodJob",/* here */"args":[1]}',
    "UTF-16": '{"class":"GoodJob","args":[1]}'.encode("utf-16"),
    "101 levels": b'{"class":"EchoJob","args":' + b"[" * 100 + b"]" * 100 + b"}",
    "a million levels": b'{"class":"EchoJob","args":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}",
    "array": b'[{"class":"GoodJob"}]',
    "number": b"42",
    "string": b'"GoodJob"',
    "null": b"null",
    "true": b"true",
    "number past every float": b"1e400",
}

JSON = ("array", "number", "string", "null", "true", "number past every float")


@pytest.mark.parametrize("raw", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_is_not_a_job_is_dead_with_its_bytes(bench: Bench, raw: bytes) -> None:
    bench.take(raw)
    name = next(name for name, payload in UNREADABLE.items() if payload is raw)
    assert bench.only("dead") == (b"not a job: " + raw if name in JSON else raw)
    assert bench.ran == []

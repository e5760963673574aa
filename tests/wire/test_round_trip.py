"""Every job in every capture comes back from loads and dumps with the bytes that Ruby gave it."""

from __future__ import annotations

import pytest

from pykiq.errors import Unreadable
from pykiq.wire import exactjson
from pykiq.wire.dialect import EIGHT, SEVEN, SIX, Dialect
from pykiq.wire.exactjson import dumps, loads
from tests import captures

DIALECTS = {"6.4.1": SIX, "7.3.2": SEVEN, "8.1.7": EIGHT}

# Written by hand into Redis: JSON that Ruby reads, but does not write. It comes back canonical.
NOT_RUBY_SPELLED = {
    "api_reschedule_of_non_canonical_json": "spaces after commas and colons",
    "odd_json_dup_keys": "two keys of the same name: the last wins",
    "odd_json_numbers": "-0 is the integer 0, in Ruby as well",
    "odd_json_surrogate_pair": "escaped text",
    "odd_json_whitespace": "space around the document",
    "python_style_json_executed": "spaces and escaped text",
    "python_style_json_retry_reserialised": "spaces and escaped text",
}


@pytest.mark.parametrize(("version", "dialect"), DIALECTS.items(), ids=list(DIALECTS))
def test_every_captured_job_comes_back_byte_for_byte(version: str, dialect: Dialect) -> None:
    changed, read = {}, 0
    for capture in captures.every():
        if capture.version != version:
            continue
        for raw in capture.payloads():
            try:
                value = loads(raw)
            except Unreadable:
                continue  # their names are pinned in test_odd_payloads
            read += 1
            if dumps(value, dialect) != raw:
                changed[capture.name] = raw
    assert read > 350
    assert set(changed) == set(NOT_RUBY_SPELLED)


def test_without_orjson_every_captured_job_is_read_and_written_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = {raw for capture in captures.every() for raw in capture.payloads()}
    with_it = {raw: _there_and_back(raw) for raw in jobs}
    monkeypatch.setattr(exactjson, "orjson", None)
    assert {raw: _there_and_back(raw) for raw in jobs} == with_it
    assert exactjson.dumps_flat([[1, "a"]]) is None, "written one by one"


def _there_and_back(raw: bytes) -> object:
    try:
        value = loads(raw)
    except Unreadable:
        return "unreadable"
    return repr(value), [dumps(value, dialect) for dialect in DIALECTS.values()]


@pytest.mark.parametrize("version", DIALECTS)
@pytest.mark.parametrize("other", [SIX, SEVEN, EIGHT], ids=lambda dialect: dialect.name)
def test_a_job_keeps_its_float_spellings_when_it_is_written_in_another_dialect(version: str, other: Dialect) -> None:
    for name in ("numbers", "perform_async", "nested_args"):
        for raw in captures.read(version, name).payloads():
            assert dumps(loads(raw), other) == raw


def test_a_job_that_came_back_canonical_stays_so() -> None:
    for name in NOT_RUBY_SPELLED:
        for raw in captures.read("8.1.7", name).payloads():
            once = dumps(loads(raw), EIGHT)
            assert dumps(loads(once), EIGHT) == once

"""What a failure leaves on a job. The comparison with Ruby's own entries is in test_ruby_entries."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
import zlib
from base64 import b64decode, b64encode
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykiq.wire.dialect import EIGHT, SEVEN, SIX, Dialect
from pykiq.wire.exactjson import dumps, loads
from pykiq.wire.failure import (
    BACKTRACE_LIMIT,
    UNSPEAKABLE,
    Failure,
    decode_backtrace,
    describe,
    encode_backtrace,
    is_exhausted,
    keeps_backtrace,
    record_failure,
    retry_limit,
    wants_death_entry,
)
from pykiq.wire.payload import parse
from tests import captures

NOW = 1795315631.7103534
BOOM = Failure("ValueError", "boom", ("b.py:2:in 'inner'", "a.py:1:in 'outer'"))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=5,
)
ANY = st.sampled_from([SIX, SEVEN, EIGHT])
READ_BY_US = ("retry", "queue", "retry_queue", "retry_count", "failed_at", "retry_for", "backtrace", "dead", "class")


def fail(
    payload: dict[str, Any], dialect: Dialect = SEVEN, *, failure: Failure = BOOM, **given_: Any
) -> dict[str, Any]:
    options: dict[str, Any] = {"queue": "default", "now": NOW, "default_retry": True} | given_
    record_failure(payload, failure, dialect=dialect, **options)
    return payload


class OwnError(Exception):
    pass


class Mute(Exception):
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error


def raised(error: BaseException) -> BaseException:
    def inner() -> None:
        raise error

    try:
        inner()
    except BaseException as caught:
        return caught
    raise AssertionError


@given(JSON | st.sampled_from(["2", "0", "x", 0, 0.0, -0.0, 1, True, False]))
def test_whether_a_backtrace_is_kept_can_be_told_before_there_is_one(option: Any) -> None:
    job = {"class": "A", "args": [], "backtrace": option}
    if not keeps_backtrace(job):
        assert fail(dict(job)) == fail(dict(job), failure=replace(BOOM, backtrace=()))


def test_an_exception_is_described_by_class_message_and_backtrace_innermost_first() -> None:
    failure = describe(raised(ValueError("no such order")))
    assert (failure.error_class, failure.message) == ("ValueError", "no such order")
    inner, outer = failure.backtrace
    assert inner.startswith(__file__)
    assert inner.endswith(":in 'raised.<locals>.inner'")
    assert outer.endswith(":in 'raised'")
    assert int(outer.split(":")[-2]) > int(inner.split(":")[-2])


def test_ones_own_exceptions_carry_their_module() -> None:
    assert describe(OwnError()).error_class == f"{__name__}.OwnError"
    assert describe(OwnError()).message == ""
    assert describe(OwnError()).backtrace == ()


def test_a_message_is_cut_at_ten_thousand_characters_as_in_ruby() -> None:
    [raw] = captures.read("8.1.7", "error_message_long").members("retry")
    assert len(parse(raw)["error_message"]) == len(describe(OwnError("é" * 20_000)).message) == 10_000


def test_what_is_not_utf8_becomes_a_replacement_character_as_in_ruby() -> None:
    [raw] = captures.read("8.1.7", "error_message_binary").members("retry")
    ruby = parse(raw)["error_message"]
    assert describe(OwnError(b"bad \xff\xfe bytes".decode("utf-8", "surrogateescape"))).message == ruby


@pytest.mark.parametrize("error", [RuntimeError(), KeyboardInterrupt(), SystemExit(1)], ids=repr)
def test_a_message_that_raises_is_replaced_as_in_ruby(error: BaseException) -> None:
    [raw] = captures.read("8.1.7", "error_message_msgraise").members("retry")
    assert describe(raised(Mute(error))).message == UNSPEAKABLE == parse(raw)["error_message"]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), MemoryError("full"), RecursionError("deep")])
def test_every_exception_is_described_exits_included(error: BaseException) -> None:
    assert describe(raised(error)).error_class == type(error).__name__


def test_a_description_keeps_neither_the_exception_nor_its_locals() -> None:
    class Big:
        pass

    def inner(thing: Big) -> None:
        raise OwnError("boom")

    big = Big()
    gone = weakref.ref(big)
    try:
        inner(big)
    except OwnError as error:
        failure = describe(error)
    del big
    gc.collect()
    assert gone() is None
    assert failure.message == "boom"


def test_fields_come_in_rubys_order() -> None:
    payload = fail({"class": "A", "args": [], "backtrace": True})
    added = ["retry", "queue", "error_message", "error_class", "failed_at", "retry_count", "error_backtrace"]
    assert list(payload) == ["class", "args", "backtrace", *added]
    again = fail(dict(payload), now=NOW + 60)
    assert list(again) == [*payload, "retried_at"]
    assert (again["retry_count"], again["failed_at"], again["retried_at"]) == (1, NOW, NOW + 60)


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON),
    st.dictionaries(st.sampled_from(READ_BY_US), JSON),
    ANY,
)
def test_no_payload_is_lost_and_unknown_keys_stay_where_they_are(
    unknown: dict[str, Any], odd: dict[str, Any], dialect: Dialect
) -> None:
    unknown = {key: value for key, value in unknown.items() if key not in READ_BY_US and not key.startswith("err")}
    before = {**unknown, **odd}
    payload = fail(loads(dumps({**_finite(before)}, dialect)), dialect)
    after = loads(dumps(payload, dialect))
    assert [key for key in after if key in before] == list(before)
    assert {key: after[key] for key in unknown} == _finite(unknown)
    assert after["retry_count"] is not None
    limit = retry_limit(after, default_retry=True)
    assert limit is None or is_exhausted(after, limit, now=NOW, dialect=dialect) in (True, False)
    assert wants_death_entry(after) == (before.get("dead") is not False)


def test_the_queue_is_the_retry_queue_or_the_one_it_was_popped_from() -> None:
    assert fail({"queue": "other"})["queue"] == "default"
    assert fail({"queue": "other", "retry_queue": "slow"})["queue"] == "slow"
    odd: Any
    for odd in (None, "", 5, []):
        assert fail({"retry_queue": odd})["queue"] == "default"


def test_a_missing_or_null_retry_is_written_from_the_handlers_own() -> None:
    assert fail({})["retry"] is True
    assert fail({"retry": None}, default_retry=3)["retry"] == 3
    assert fail({"retry": False})["retry"] is False
    assert "retry" not in fail({}, default_retry=None)


@pytest.mark.parametrize("odd", ["3", True, [], {}, None, 10**400])
def test_an_odd_retry_count_counts_as_never_failed(odd: Any) -> None:
    payload = fail({"retry_count": odd, "failed_at": 1.5})
    assert (payload["retry_count"], payload["failed_at"]) == (0, NOW)


def test_existing_times_are_never_converted() -> None:
    assert fail({"retry_count": 0, "failed_at": 1795315600.5}, EIGHT)["failed_at"] == 1795315600.5
    assert fail({"retry_count": 0, "failed_at": 1795315600.5}, EIGHT)["retried_at"] == 1795315631710


@pytest.mark.parametrize(
    ("option", "kept"),
    [(True, 2), (1, 1), (5, 2), (0, 0), ("1", 1), ("true", 0), (1.9, 1), ([], 2), (None, None), (False, None)],
)
def test_the_backtrace_option_says_how_many_lines_are_kept(option: Any, kept: int | None) -> None:
    encoded = fail({"backtrace": option}).get("error_backtrace")
    assert (None if encoded is None else len(decode_backtrace(encoded))) == kept


@pytest.mark.parametrize("dialect", [SIX, SEVEN, EIGHT], ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("count", [0, 1, 40])
def test_a_backtrace_is_zlib_in_base64_wrapped_only_by_six(dialect: Dialect, count: int) -> None:
    lines = [f"/srv/app/jobs/é{line}.py:{line * 7}:in 'perform'" for line in range(count)]
    text = encode_backtrace(lines, dialect)
    assert b64decode(text)[:2] == b"\x78\x9c"
    assert loads(zlib.decompress(b64decode(text))) == lines == decode_backtrace(text)
    if dialect is SIX:
        assert text.endswith("\n")
        assert all(len(line) == 60 for line in text.splitlines()[:-1])
    else:
        assert "\n" not in text


@pytest.mark.parametrize("version", captures.VERSIONS)
def test_rubys_backtraces_are_read_and_encoded_the_same(version: str) -> None:
    dialect = {"6.4.1": SIX, "7.3.2": SEVEN, "8.1.7": EIGHT}[version]
    [raw] = captures.read(version, "retry_third_failure_backtrace_true").members("retry")
    text = parse(raw)["error_backtrace"]
    lines = decode_backtrace(text)
    assert lines[0].startswith("/srv/shop/app.rb:")
    assert [len(line) for line in encode_backtrace(lines, dialect).splitlines()][:-1] == [
        len(line) for line in text.splitlines()
    ][:-1]


@pytest.mark.parametrize("text", ["", "x", "eJyLVtIv", "eJyLjgUAARUAuQ=", "YWJj"])
def test_what_is_no_backtrace_has_no_lines(text: str) -> None:
    assert decode_backtrace(text) == []


@pytest.mark.parametrize(
    ("retry", "limit"),
    [
        (True, 25),
        (5, 5),
        (0, 0),
        (-1, -1),
        (False, None),
        ("false", 25),
        ("5", 25),
        (2.5, 25),
        ({}, 25),
        ([], 25),
        ("", 25),
    ],
)
def test_the_limit_is_rubys_reading_of_retry(retry: Any, limit: int | None) -> None:
    assert retry_limit({"retry": retry}, default_retry=3) == limit


def test_the_limit_of_a_job_without_retry_is_the_handlers_and_that_of_an_unknown_class_the_default() -> None:
    assert retry_limit({}, default_retry=3) == 3
    assert retry_limit({"retry": None}, default_retry=False) is None
    assert retry_limit({}, default_retry=None) == 25
    assert retry_limit({"retry": True}, default_retry=None, max_retries=7) == 7


@pytest.mark.parametrize(
    ("count", "limit", "over"),
    [(24, 25, False), (25, 25, True), (0, 0, True), (0, -1, True), (0, 1, False), (1, 1, True)],
)
@pytest.mark.parametrize("dialect", [SIX, SEVEN, EIGHT], ids=lambda dialect: dialect.name)
def test_a_job_is_exhausted_when_the_count_reaches_the_limit(
    count: int, limit: int, over: bool, dialect: Dialect
) -> None:
    assert is_exhausted({"retry_count": count}, limit, now=NOW, dialect=dialect) is over


@pytest.mark.parametrize(
    ("dialect", "failed_at", "count", "over"),
    [
        (SIX, NOW - 100, 3, False),  # 6.4 knows no retry_for
        (SEVEN, NOW - 100, 3, True),
        (SEVEN, NOW - 50, 3, False),
        (SEVEN, NOW - 50, 25, True),  # and the count still counts
        (SEVEN, int(NOW * 1000) - 100_000, 3, False),  # capture odd_fail_retry_for_ms_failed_at
        (EIGHT, NOW - 100, 3, True),
        (EIGHT, int(NOW * 1000) - 100_000, 3, True),
        (EIGHT, NOW - 50, 99, False),  # the time limit replaces the count
        (EIGHT, "x", 99, True),
        (EIGHT, None, 3, False),
    ],
)
def test_retry_for_is_a_time_limit_of_its_own_kind_in_each_dialect(
    dialect: Dialect, failed_at: Any, count: int, over: bool
) -> None:
    payload = {"retry_for": 60, "failed_at": failed_at, "retry_count": count}
    assert is_exhausted(payload, 25, now=NOW, dialect=dialect) is over


@pytest.mark.parametrize("odd", ["60", True, [], None, 10**400])
def test_an_odd_retry_for_is_ignored(odd: Any) -> None:
    for dialect in (SEVEN, EIGHT):
        payload = {"retry_for": odd, "failed_at": NOW - 1e6, "retry_count": 3}
        assert not is_exhausted(payload, 25, now=NOW, dialect=dialect)
        assert is_exhausted({**payload, "retry_count": 25}, 25, now=NOW, dialect=dialect)


@pytest.mark.parametrize(("dead", "buried"), [(False, False), (True, True), (None, True), ("false", True), (0, True)])
def test_only_an_exact_false_keeps_a_job_out_of_the_dead_set(dead: Any, buried: bool) -> None:
    assert wants_death_entry({"dead": dead}) is buried
    assert wants_death_entry({})


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return 0 if value in (float("inf"), float("-inf")) else value


def test_an_exception_that_hides_its_class_and_its_traceback_is_described_all_the_same() -> None:
    class Hiding(type):
        def __getattribute__(cls, name: str) -> Any:
            if name in ("__qualname__", "__module__", "__name__"):
                raise SystemExit(name)
            return super().__getattribute__(name)

    class Hidden(Exception, metaclass=Hiding):
        @property
        def __traceback__(self) -> Any:  # type: ignore[override]
            raise SystemExit("no traceback")

    try:
        raise Hidden("still told")
    except Exception as error:
        failure = describe(error)
    assert failure.message == "still told"
    assert str(failure.error_class).endswith("Hidden")
    assert failure.backtrace


def test_a_backtrace_that_unpacks_to_gigabytes_is_cut_at_a_whole_line() -> None:
    lines = [f"app.rb:{number}:in 'perform'" for number in range(1_000_000)]
    bomb = b64encode(zlib.compress(dumps(lines))).decode()
    tracemalloc.start()
    try:
        found = decode_backtrace(bomb)
        assert tracemalloc.get_traced_memory()[1] < 20 * BACKTRACE_LIMIT
    finally:
        tracemalloc.stop()
    assert found[:-1] == lines[: len(found) - 1]
    assert len("".join(found)) > 0.7 * BACKTRACE_LIMIT
    assert found[-1] == f"(cut here: more than {BACKTRACE_LIMIT:,} bytes)"


@pytest.mark.parametrize(
    "inside", [b'["' + b"a" * 3_000_000 + b'"]', b"[" * 3_000_000, b"5" * 3_000_000, b'["\\",' * 500_000]
)
def test_a_bomb_without_lines_costs_no_more(inside: bytes) -> None:
    assert len(decode_backtrace(b64encode(zlib.compress(inside)).decode())) <= 1

"""loads and dumps lose nothing, and refuse what Ruby could not read."""

from __future__ import annotations

import datetime
import enum
import json
import math
import pickle
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykiq.errors import PayloadError, Unreadable
from pykiq.wire import exactjson
from pykiq.wire.dialect import EIGHT, SEVEN, SIX, Dialect
from pykiq.wire.exactjson import SpelledFloat, dumps, dumps_flat, loads, unspelled

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**60), max_value=10**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20)
DIALECTS = st.sampled_from([SIX, SEVEN, EIGHT])

SPACE = st.sampled_from(["", "", "", " ", "\n\t", "\r "])
NUMBERS = st.from_regex(r"\A-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?\Z")
STRINGS = st.builds(json.dumps, TEXT, ensure_ascii=st.booleans()) | st.sampled_from(
    [r'"\/"', r'"\u0041"', r'"\ud83d\ude00"', r'"\ud800"', r'"\x"', '"\x01"', '"a', '"a"', '"a"', '"b"']
)
WORDS = (
    NUMBERS | STRINGS | st.sampled_from(["null", "true", "false", "NaN", "-Infinity", "01", "+1", "-", "//", "'a'", ""])
)


def _listed(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.builds("{}{}{}:{}".format, SPACE, STRINGS, SPACE, inner)
    return st.lists(inner, max_size=4).map(lambda items: f"[{','.join(items)}]") | st.lists(pairs, max_size=4).map(
        lambda items: "{" + ",".join(items) + "}"
    )


def spelled(value: Any) -> Any:
    """What `loads` returned, its spellings visible to `repr`."""
    if isinstance(value, dict):
        return {key: spelled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [spelled(item) for item in value]
    return ("spelled", value.text) if isinstance(value, SpelledFloat) else value


DOCUMENTS = st.recursive(st.builds("{}{}{}".format, SPACE, WORDS, SPACE), _listed, max_leaves=12)
"""JSON in every spelling, the same key twice at times; some of it is none."""


@given(VALUES, DIALECTS)
def test_a_value_comes_back_and_its_bytes_too(value: Any, dialect: Dialect) -> None:
    raw = dumps(value, dialect)
    assert repr(unspelled(loads(raw))) == repr(value)
    assert dumps(loads(raw), dialect) == raw


@given(VALUES)
def test_the_bytes_are_those_of_json_but_for_the_spelling_of_floats(value: Any) -> None:
    ours = json.loads(dumps(value))
    assert repr(ours) == repr(value)
    if "." not in repr(value) and "e" not in repr(value):
        assert dumps(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@given(st.binary(max_size=30))
def test_any_bytes_are_either_read_or_unreadable(raw: bytes) -> None:
    try:
        value = loads(raw)
    except Unreadable:
        return
    dumps(value)


@given(DOCUMENTS)
def test_whatever_the_spelling_it_is_read_as_the_exact_path_reads_it(text: str) -> None:
    def outcome(read: Callable[[bytes], Any]) -> str:
        try:
            return repr(spelled(read(text.encode())))
        except Unreadable:
            return "unreadable"

    assert outcome(loads) == outcome(exactjson._exact_loads)


@given(st.binary(max_size=20))
def test_bytes_that_are_not_utf8_come_back(inner: bytes) -> None:
    kept = bytes(byte for byte in inner if byte >= 0x20 and byte not in b'"\\')
    raw = b'{"args":["' + kept + b'"]}'
    assert dumps(loads(raw)) == raw


@given(st.from_regex(r"\A-?(0|[1-9][0-9]{0,30})\.[0-9]{1,30}([eE][+-]?[0-9]{1,3})?\Z"))
def test_a_float_keeps_its_spelling(text: str) -> None:
    raw = f'{{"args":[{text}]}}'.encode()
    assert dumps(loads(raw), SEVEN) == raw
    assert loads(raw)["args"][0] == float(text)


@given(st.integers(0xD800, 0xDFFF))
def test_half_a_surrogate_pair_is_refused_on_both_ways(code: int) -> None:
    with pytest.raises(Unreadable, match="half a surrogate pair"):
        loads(f'["\\u{code:04x}"]'.encode())
    with pytest.raises(Unreadable, match="half a surrogate pair"):
        loads(f'["\\u{code:04X}x", 1.50]'.encode())
    if not 0xDC80 <= code <= 0xDCFF:  # those stand for a byte that was read
        with pytest.raises(PayloadError, match="lone surrogate"):
            dumps([chr(code)])


def test_an_escaped_backslash_before_u_is_no_surrogate() -> None:
    assert loads(rb'["\\ud800", "\\\\ud800"]') == [r"\ud800", r"\\ud800"]


def test_integers_of_any_size_come_back() -> None:
    for digits in (18, 19, 20, 21, 640, 641, 5000, 20_000):
        raw = b"[" + b"7" * digits + b",-" + b"7" * digits + b"]"
        assert dumps(loads(raw)) == raw
    assert loads(b"[18446744073709551616]") == [2**64]


def test_huge_integers_need_no_change_of_the_interpreters_limit() -> None:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        raw = b"[" + b"1" * 700 + b"]"
        assert dumps(loads(raw)) == raw
    finally:
        sys.set_int_max_str_digits(before)


@pytest.mark.parametrize(
    "text", ["1e400", "-1e400", "1.0e+20", "1e20", "1E5", "1.50", "0.00000015", "897596.8174000001"]
)
def test_an_unusual_float_is_a_spelled_float(text: str) -> None:
    [value] = loads(f"[{text}]".encode())
    assert isinstance(value, SpelledFloat)
    assert value.text == text
    assert value == float(text)
    assert pickle.loads(pickle.dumps(value)).text == text
    for dialect in (SIX, SEVEN, EIGHT):
        assert dumps([value], dialect) == f"[{text}]".encode()


@pytest.mark.parametrize("text", ["1795315631.7103534", "0.1", "-0.0", "100.0", "123456789012345.6", "0.0001"])
def test_an_everyday_float_is_a_plain_one_and_as_fast_as_orjson(text: str) -> None:
    raw = f'{{"jid":"7e3a17e51e16aa5e20bb0e1d","created_at":{text}}}'.encode()
    assert type(loads(raw)["created_at"]) is float
    assert orjson.dumps(loads(raw)) == raw == dumps(loads(raw), SEVEN)


def test_a_hexadecimal_id_full_of_exponents_is_no_float() -> None:
    raw = b'{"jid":"7e3a17e51e16aa5e20bb01e1","tags":["1e5","x1e5"]}'
    assert loads(raw)["jid"] == "7e3a17e51e16aa5e20bb01e1"
    assert dumps(loads(raw)) == raw


def test_minus_zero_without_a_fraction_is_the_integer_zero_as_in_ruby() -> None:
    assert dumps(loads(b"[-0,-0.0]")) == b"[0,-0.0]"


def test_the_last_of_two_keys_wins() -> None:
    assert loads(b'{"a":1,"b":2,"a":3}') == {"a": 3, "b": 2}


@pytest.mark.parametrize("depth", [99, 100])
def test_a_hundred_levels_are_read_and_written(depth: int) -> None:
    raw = b"[" * depth + b"]" * depth
    assert dumps(loads(raw)) == raw
    objects = b'{"a":' * depth + b"1" + b"}" * depth
    assert dumps(loads(objects)) == objects


@pytest.mark.parametrize("depth", [101, 300, 2000, 200_000])
def test_more_than_a_hundred_levels_are_refused(depth: int) -> None:
    with pytest.raises(Unreadable, match="nested"):
        loads(b"[" * depth + b"]" * depth)
    value: list[Any] = []
    for _ in range(min(depth, 2000) - 1):
        value = [value]
    with pytest.raises(PayloadError, match="nested more than 100 levels"):
        dumps(value)


def test_tuples_are_levels_too() -> None:
    value: tuple[Any, ...] = ()
    for _ in range(100):
        value = (value,)
    with pytest.raises(PayloadError, match="nested more than 100 levels"):
        dumps(value)


def test_many_brackets_side_by_side_are_not_deep() -> None:
    raw = b"[" + b",".join([b"[1]"] * 500) + b',"' + b"[" * 500 + b'"]'
    assert dumps(loads(raw)) == raw
    assert type(loads(b"[0.5," + raw[1:])[0]) is float


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [1, {"b": math.nan}]}, r"`a\[1\]\.b` is nan; JSON has no such number"),
        ([None, math.inf], r"`\[1\]` is inf"),
        ([-math.inf], r"`\[0\]` is -inf"),
        (math.nan, "`the payload` is nan"),
        ({"when": datetime.date(2026, 1, 1)}, "`when` is a date; a job holds JSON values only"),
        ([Point(1)], r"`\[0\]` is a Point"),
        ({"a": {1: 2}}, "`a` has the key 1; keys must be strings"),
        ([{1}], r"`\[0\]` is a set"),
        ([b"x"], r"`\[0\]` is a bytes"),
        (["\ud800"], "lone surrogate"),
        ({"\udfff": 1}, "lone surrogate"),
    ],
)
@pytest.mark.parametrize("dialect", [SEVEN, EIGHT], ids=["7", "8"])
def test_what_is_not_json_is_refused_by_its_path(value: Any, message: str, dialect: Dialect) -> None:
    with pytest.raises(PayloadError, match=message):
        dumps(value, dialect)


def test_null_beside_a_finite_float_is_no_nan() -> None:
    assert dumps({"a": None, "b": [None, 1.5, (None,)]}) == b'{"a":null,"b":[null,1.5,[null]]}'


@pytest.mark.parametrize("extra", [[], [1e20]], ids=["fast", "exact"])
def test_tuples_enums_and_uuids_are_written_alike_on_both_paths(extra: list[float]) -> None:
    one = uuid.UUID(int=1)
    tail = ",1.0e+20]" if extra else "]"
    assert dumps([(1, 2), Colour.RED, one, *extra]).decode() == f'[[1,2],"red","{one}"{tail}'


@given(
    st.lists(st.lists(SCALARS | st.lists(SCALARS, max_size=2) | st.text('],["\\')) | st.tuples(SCALARS), min_size=1),
    DIALECTS,
)
def test_many_lists_at_once_are_written_as_each_alone_or_not_at_all(lists: list[Any], dialect: Dialect) -> None:
    together = dumps_flat(lists)
    assert together is None or [b"[%b]" % one for one in together] == [dumps(one, dialect) for one in lists]


@pytest.mark.parametrize(
    ("lists", "plain"),
    [
        ([[None, True, False, 2**64 - 1, -(2**63), "ärger"], [], ["],"]], True),
        ([[2**64]], False),
        ([[0.5]], False),
        ([[[1]]], False),
        ([["],["], ["]"]], False),
        ([["\ud800"]], False),
        ([[enum.IntEnum("Size", "SMALL")(1)]], False),
    ],
    ids=["plain", "a long integer", "a float", "a list", "a text like a seam", "a surrogate", "a subclass"],
)
def test_lists_of_plain_values_are_written_at_once(lists: list[Any], plain: bool) -> None:
    assert (dumps_flat(lists) is not None) is plain

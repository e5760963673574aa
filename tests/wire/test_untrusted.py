"""Whatever somebody has written to Redis becomes a bounded value of the type that is asked for."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykiq.wire import untrusted

ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.text() | st.integers()),
    st.dictionaries(st.text(), st.integers()), st.just(10**5000), st.just(b"9" * 5000), st.just(b"-1e999"),
    st.integers().map(lambda n: str(n).encode()), st.floats().map(lambda x: repr(x).encode()),
)  # fmt: skip


@given(ANYTHING)
def test_every_reading_is_bounded_and_none_raises(value: object) -> None:
    assert 0 <= untrusted.whole(value) <= untrusted.MOST
    assert 0 <= untrusted.whole(value, 7) <= 7
    number = untrusted.number(value)
    assert number is None or math.isfinite(number)
    moment = untrusted.moment(value)
    assert moment is None or 0 < moment < untrusted.LAST_MOMENT
    assert not math.isnan(untrusted.score(value))
    assert isinstance(untrusted.text(value), str)
    assert all(isinstance(one, str) for one in untrusted.texts(value))
    assert isinstance(untrusted.mapping(value), dict | None)


@pytest.mark.parametrize(
    ("value", "whole", "moment", "score"),
    [
        (b"5", 5, 5.0, 5.0), (b"1795627245.5", 1795627245, 1795627245.5, 1795627245.5), (b" 7 ", 7, 7.0, 7.0),
        (b"-5", 0, None, -5.0), (b"inf", 0, None, math.inf), (b"-inf", 0, None, -math.inf), (b"nan", 0, None, 0.0),
        (b"many", 0, None, 0.0), (b"", 0, None, 0.0), (b"\xff", 0, None, 0.0), (None, 0, None, 0.0),
        (True, 0, None, 1.0), (10**400, untrusted.MOST, None, 0.0), (b"9" * 30, untrusted.MOST, None, 1e30),
        (b"253402300799", 253402300799, 253402300799.0, 253402300799.0), (1e300, untrusted.MOST, None, 1e300),
    ],
)  # fmt: skip
def test_a_number_is_what_redis_says_or_nothing(value: object, whole: int, moment: float | None, score: float) -> None:
    assert untrusted.whole(value) == whole
    assert untrusted.moment(value) == moment
    assert untrusted.score(value) == score


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"5", b"[" * 100_000, b'{"a":NaN}', b"\xff", None, "{}", 5])
def test_what_is_no_json_object_is_none(raw: object) -> None:
    assert untrusted.mapping(raw) is None


def test_an_integer_of_any_length_is_read() -> None:
    assert untrusted.mapping(b'{"a":%s}' % (b"9" * 5000)) == {"a": 10**5000 - 1}

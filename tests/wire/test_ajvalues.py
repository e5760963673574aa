"""ActiveJob's value types: equal by value, and readable."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pykiq.wire.ajvalues import Duration, GlobalID, IndifferentHash, Keywords, Symbol, symbol_keys


def test_a_symbol_equals_its_text_and_says_what_it_is() -> None:
    assert Symbol("a") == "a"
    assert {"a": 1}[Symbol("a")] == 1
    assert repr({Symbol("a"): Symbol("b")}) == "{Symbol('a'): Symbol('b')}"
    assert type(str(Symbol("a"))) is str


def test_keywords_given_as_such_are_symbols_and_a_mapping_is_taken_as_it_is() -> None:
    assert list(map(type, Keywords({"text": 1}, a=2))) == [str, Symbol]
    assert repr(Keywords(a=1)) == "Keywords({Symbol('a'): 1})"
    assert repr(IndifferentHash(a=1)) == "IndifferentHash({'a': 1})"
    assert list(map(type, symbol_keys({"a": {"b": 1}})["a"])) == [str]


def test_a_duration_counts_months_as_rails_does() -> None:
    assert Duration.of(months=1, days=2) == Duration(2_802_546, (("months", 1), ("days", 2)))
    assert Duration.of(hours=1.5).timedelta == timedelta(minutes=90)
    with pytest.raises(TypeError, match="was given 'fortnights'; expected parts of years, months"):
        Duration.of(fortnights=1)


@pytest.mark.parametrize(
    ("record", "uri", "id"),
    [
        (GlobalID.of("shop", "Person", 7), "gid://shop/Person/7", "7"),
        (GlobalID.of("shop", "Person", "a/b c"), "gid://shop/Person/a%2Fb+c", "a/b c"),
        (GlobalID.of("my-shop", "Deep::Order", (1, "x y")), "gid://my-shop/Deep::Order/1/x+y", ("1", "x y")),
        (GlobalID.of("shop", "Person", 7, db="eu west"), "gid://shop/Person/7?db=eu+west", "7"),
    ],
    ids=["plain", "escaped", "composite", "params"],
)
def test_a_global_id_is_written_and_taken_apart_as_ruby_does(record: GlobalID, uri: str, id: Any) -> None:
    assert (str(record), record.id) == (uri, id)
    assert record == GlobalID(uri)
    assert f"{record.app}/{record.model}" == uri.removeprefix("gid://").rpartition("/")[0].split("/1")[0]
    assert record.params == ({"db": "eu west"} if "?" in uri else {})


@pytest.mark.parametrize(
    "uri", ["", "shop/Person/7", "http://shop/Person/7", "gid://shop/Person", "gid:///Person/7", 7]
)
def test_anything_else_is_no_global_id(uri: Any) -> None:
    with pytest.raises(ValueError, match="is no GlobalID such as 'gid://shop/Person/7'"):
        GlobalID(uri)

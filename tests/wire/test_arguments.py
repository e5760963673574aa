"""Arguments that JSON would change are refused, by their path and with the way out."""

from __future__ import annotations

import datetime
import decimal
import enum
import re
import uuid
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykiq.errors import ArgumentsError
from pykiq.wire.arguments import check_arguments
from pykiq.wire.exactjson import SpelledFloat, dumps, loads
from tests import captures

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=15,
)


class Size(enum.Enum):
    SMALL = "s"


class Shade(enum.StrEnum):
    DARK = "dark"


class Number(int):
    pass


@given(st.lists(JSON))
def test_whatever_passes_comes_back_equal(args: list[Any]) -> None:
    check_arguments(args)
    assert loads(dumps(args)) == args


def test_tuples_pass_and_so_do_subclasses_that_come_back_equal() -> None:
    check_arguments((1, (2, [3]), {"a": ()}, Shade.DARK, Number(5), SpelledFloat("1.50")))
    assert loads(dumps([Shade.DARK, Number(5), SpelledFloat("1.50")])) == [Shade.DARK, Number(5), 1.5]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([0, {"when": datetime.datetime(2026, 1, 1)}], '`args[1]["when"]` is a datetime.datetime ('),  # noqa: DTZ001
        ([datetime.date(2026, 1, 1)], "`args[0]` is a datetime.date (datetime.date(2026, 1, 1))"),
        ([[decimal.Decimal("1.5")]], "`args[0][0]` is a decimal.Decimal"),
        ([uuid.UUID(int=1)], "pass str(value)"),
        ([{1, 2}], "pass sorted(value) or list(value)"),
        ([b"x"], "pass base64 text of it"),
        ([Size.SMALL], "pass value.value"),
        ([PurePosixPath("a")], "pass numbers, strings, lists and dicts, or an id to look it up by"),
        ([datetime.timedelta(1)], "pass value.total_seconds()"),
        ([float("nan")], "`args[0]` is nan; JSON has no such number"),
        ([{"a": [float("-inf")]}], '`args[0]["a"][0]` is -inf'),
        ([SpelledFloat("1e400")], "`args[0]` is inf"),
        ([{"a": {1: 2}}], '`args[0]["a"]` has the key an int (1); keys must be strings'),
        (["a\ud800b"], "`args[0]` holds the lone surrogate '\\ud800'"),
        (["a\udc80"], "lone surrogate"),
        ([{"\udc80": 1}], "lone surrogate"),
        ({"a": 1}, "`args` is a dict ({'a': 1}); the arguments of a job are a list; pass [value]"),
        ("abc", "`args` is a str ('abc')"),
        (None, "`args` is a NoneType (None)"),
    ],
)
def test_what_json_would_change_is_refused_by_its_path(args: Any, message: str) -> None:
    with pytest.raises(ArgumentsError, match=re.escape(message)) as refused:
        check_arguments(args)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


def test_a_value_that_cannot_be_shown_is_refused_all_the_same() -> None:
    class Mute:
        def __repr__(self) -> str:
            raise RuntimeError

    with pytest.raises(ArgumentsError, match="Mute"):
        check_arguments([Mute()])


@pytest.mark.parametrize("version", captures.VERSIONS)
def test_nesting_has_rubys_limit(version: str) -> None:
    assert captures.read(version, "deep_nesting_98").data.get("raised") is None
    assert captures.read(version, "deep_nesting_99").data["raised"]

    def nested(levels: int) -> Any:
        value: Any = 1
        for level in range(levels):
            value = [value] if level % 2 else {"a": value}
        return value

    check_arguments([nested(98)])
    dumps({"class": "A", "args": [nested(98)]})
    for levels in (99, 150):
        with pytest.raises(ArgumentsError, match="nested more than 98 levels deep"):
            check_arguments([nested(levels)])

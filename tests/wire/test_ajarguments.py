"""ActiveJob's arguments: what Rails wrote is read, and written again byte for byte."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pykiq.errors import ArgumentsError, DeserializationError
from pykiq.wire import ajtimes
from pykiq.wire.activejob import WRAPPERS
from pykiq.wire.ajarguments import decode, encode
from pykiq.wire.ajtimes import DateTime, Time, TimeWithZone
from pykiq.wire.ajvalues import (
    Custom,
    Duration,
    GlobalID,
    IndifferentHash,
    Keywords,
    Module,
    Range,
    Symbol,
    symbol_keys,
)
from pykiq.wire.dialect import EIGHT, SEVEN, SIX, Dialect
from pykiq.wire.exactjson import dumps, loads
from tests.captures import Capture, every, read

DIALECTS = {"6": SIX, "7": SEVEN, "8": EIGHT}
SERIALIZERS = "ActiveJob::Serializers::"


def job_data(capture: Capture) -> Iterator[dict[str, Any]]:
    """The job data of every ActiveJob in a capture, those written by hand included."""
    for raw in capture.payloads():
        job = loads(raw)
        if job["class"] in WRAPPERS:
            yield job["args"][0]


def arguments(version: str, name: str) -> Any:
    return next(job_data(read(version, name)))["arguments"]


CAPTURES = [capture for capture in every("aj_*") if any(job_data(capture))]


@pytest.mark.parametrize("capture", CAPTURES, ids=str)
def test_the_arguments_of_every_capture_are_read_and_written_again_byte_for_byte(capture: Capture) -> None:
    dialect = DIALECTS[capture.version[0]]
    for data in job_data(capture):
        assert dumps(encode(decode(data["arguments"]), dialect), dialect) == dumps(data["arguments"], dialect)


READ: dict[str, list[Any]] = {
    "aj_plain": [1, "two", 3.5, None, True, [1, [2]]],
    "aj_symbols": [Symbol("sym"), [Symbol("a"), "b"], {"k": Symbol("v")}],
    "aj_kwargs": [1, Keywords(a=2, b="x")],
    "aj_hash_symbol_keys": [{Symbol("a"): 1, "b": 2}],
    "aj_hash_string_keys": [{"a": 1}],
    "aj_hash_empty": [{}],
    "aj_hash_indifferent": [IndifferentHash(a=1, b=IndifferentHash(c=2))],
    "aj_durations": [
        Duration.of(minutes=5), Duration.of(months=1, days=2), Duration.of(hours=1.5), Duration.of(seconds=0),
    ],
    "aj_globalid": [
        GlobalID.of("shop", "Person", 7), [GlobalID.of("shop", "Person", "a/b c")],
        {"p": GlobalID.of("shop", "Person", 9)},
    ],
    "aj_module_class": [Module("String"), Module("Kernel"), Module("Deep::AjNs")],
    "aj_range": [
        Range(1, 5), Range(1, 5, exclude_end=True), Range(1, None), Range("a", "c"),
        Range(date(2030, 1, 1), date(2030, 1, 31)),
    ],
    "aj_bigdecimal": [Decimal("12345.6789"), Decimal("-1e-20")],
    "aj_times": [
        datetime(2030, 1, 2, 3, 4, 5, 678_000, UTC),
        datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        datetime(2030, 7, 1, 12, tzinfo=ZoneInfo("Europe/Paris")),
        datetime(2030, 1, 2, 3, 4, 5, 500_000, timezone(timedelta(hours=-3))),
        date(2030, 1, 2),
    ],
    "aj_custom_serializer": [
        Custom("MoneySerializer", {"cents": 500, "currency": "EUR"}),
        [Custom("MoneySerializer", {"cents": 1, "currency": "USD"})],
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_each_type_of_ruby_becomes_its_counterpart(name: str) -> None:
    found = decode(arguments("8.1.7", name))
    assert found == READ[name]
    assert list(map(type, found)) == [
        {0: Time, 1: Time, 2: TimeWithZone, 3: DateTime, 4: date}[at] if name == "aj_times" else type(wanted)
        for at, wanted in enumerate(READ[name])
    ]


def test_a_key_that_is_a_symbol_is_found_by_its_text_and_stays_a_symbol() -> None:
    (options,) = decode(arguments("7.3.2", "aj_hash_symbol_keys"))
    assert options["a"] == 1
    assert [type(key) for key in options] == [Symbol, str]


def test_a_locator_makes_what_the_handler_gets_of_a_record() -> None:
    found = decode(arguments("7.3.2", "aj_globalid"), locate=lambda record: f"{record.app} {record.model} {record.id}")
    assert found == ["shop Person 7", ["shop Person a/b c"], {"p": "shop Person 9"}]


def test_a_record_that_cannot_be_located_is_named_with_its_place() -> None:
    def missing(record: GlobalID) -> None:
        raise LookupError("no such row")

    with pytest.raises(
        DeserializationError, match=r'`arguments\[0\]\["p"\]`, the record .*Person/9.*: no such row'
    ) as it:
        decode([{"p": {"_aj_globalid": "gid://shop/Person/9"}, "_aj_symbol_keys": ["p"]}], missing)
    assert isinstance(it.value.__cause__, LookupError)


UNREADABLE: list[tuple[Any, str]] = [
    ({"_aj_globalid": "http://x"}, r"`arguments\[0\]`, the record 'http://x'"),
    ({"_aj_globalid": None}, r"the record None"),
    ({"_aj_serialized": 5}, r"`arguments\[0\]` has 5 as _aj_serialized"),
    ({"_aj_serialized": f"{SERIALIZERS}SymbolSerializer"}, r"`arguments\[0\]` is no Symbol"),
    ({"_aj_serialized": f"{SERIALIZERS}SymbolSerializer", "value": 5}, "its value is 5"),
    ({"_aj_serialized": f"{SERIALIZERS}TimeSerializer", "value": "soon"}, "'soon' is no time"),
    ({"_aj_serialized": f"{SERIALIZERS}TimeSerializer", "value": "10000-01-01T00:00:00Z"}, "is no time"),
    ({"_aj_serialized": f"{SERIALIZERS}DateSerializer", "value": "2030-02-30"}, "is no Date"),
    ({"_aj_serialized": f"{SERIALIZERS}BigDecimalSerializer", "value": "1.2.3"}, "is no BigDecimal"),
    ({"_aj_serialized": f"{SERIALIZERS}DurationSerializer", "value": 1, "parts": 5}, "is no Duration"),
    ({"_aj_serialized": f"{SERIALIZERS}RangeSerializer", "begin": 1}, "is no Range"),
    (
        {
            "_aj_serialized": f"{SERIALIZERS}TimeWithZoneSerializer",
            "value": "2030-01-02T03:04:05.000000000Z",
            "time_zone": 5,
        },
        "5 is no name of a time zone",
    ),
    ({"a": 1, "_aj_symbol_keys": 5}, r"`arguments\[0\]` has 5 as _aj_symbol_keys"),
    ([{"a": {"_aj_serialized": 5}}], r'`arguments\[0\]\[0\]\["a"\]` has 5'),
]


@pytest.mark.parametrize(("value", "message"), UNREADABLE, ids=range(len(UNREADABLE)))
def test_what_cannot_be_read_is_told_with_its_path(value: Any, message: str) -> None:
    with pytest.raises(DeserializationError, match=message):
        decode([value])


def test_arguments_that_are_missing_are_none_and_any_other_value_is_refused() -> None:
    assert decode(None) == []
    with pytest.raises(DeserializationError, match="`arguments` is 5; expected the list"):
        decode(5)


class Shop(enum.StrEnum):
    BERLIN = "berlin"


class Person:
    def to_global_id(self) -> GlobalID:
        return GlobalID.of("shop", "Person", 7)


WRITTEN: list[tuple[Any, Any]] = [
    ([Symbol("b")], [{"_aj_serialized": f"{SERIALIZERS}SymbolSerializer", "value": "b"}]),
    ((1, (2,)), [1, [2]]),
    (symbol_keys({"a": 1, "b": 2}), {"a": 1, "b": 2, "_aj_symbol_keys": ["a", "b"]}),
    (
        IndifferentHash({Symbol("a"): [{"b": 1}]}),
        {"a": [{"b": 1, "_aj_hash_with_indifferent_access": True}], "_aj_hash_with_indifferent_access": True},
    ),
    (Shop.BERLIN, "berlin"),
    (Person(), {"_aj_globalid": "gid://shop/Person/7"}),
    (
        datetime(2030, 1, 2, 3, 4, 5, 6, UTC),
        {"_aj_serialized": f"{SERIALIZERS}TimeSerializer", "value": "2030-01-02T03:04:05.000006000Z"},
    ),
    (
        datetime(2030, 1, 2, 3, tzinfo=ZoneInfo("Europe/London")),
        {
            "_aj_serialized": f"{SERIALIZERS}TimeWithZoneSerializer",
            "value": "2030-01-02T03:00:00.000000000+00:00",
            "time_zone": "Europe/London",
        },
    ),
    (
        timedelta(minutes=1, milliseconds=500),
        {
            "_aj_serialized": f"{SERIALIZERS}DurationSerializer",
            "value": 60.5,
            "parts": [[{"_aj_serialized": f"{SERIALIZERS}SymbolSerializer", "value": "seconds"}, 60.5]],
        },
    ),
    (Decimal("1E+3"), {"_aj_serialized": f"{SERIALIZERS}BigDecimalSerializer", "value": "1000.0"}),
    (Decimal("-Infinity"), {"_aj_serialized": f"{SERIALIZERS}BigDecimalSerializer", "value": "-Infinity"}),
]  # fmt: skip


@pytest.mark.parametrize(("value", "written"), WRITTEN, ids=range(len(WRITTEN)))
def test_python_values_are_written_as_the_ruby_values_they_mean(value: Any, written: Any) -> None:
    assert dumps(encode([value], EIGHT), EIGHT) == dumps([written], EIGHT)


@pytest.mark.parametrize("dialect", [SIX, SEVEN], ids=["6", "7"])
def test_rails_6_gets_no_zone_name_and_a_decimal_as_text(dialect: Dialect) -> None:
    moment = TimeWithZone(2030, 1, 2, tzinfo=ZoneInfo("Europe/Paris"))
    zoned, number = encode([moment, Decimal("1.50")], dialect)
    assert ("time_zone" in zoned) is (dialect is SEVEN)
    assert (number == "1.5") is (dialect is SIX)


class Level(enum.Enum):
    HIGH = 1


REFUSED: list[tuple[Any, Dialect, str]] = [
    (object(), SEVEN, r"`args\[0\]` is an object .*; ActiveJob's arguments are"),
    ({"a": [b"x"]}, SEVEN, r'`args\[0\]\["a"\]\[0\]` is a bytes'),
    (Level.HIGH, SEVEN, r"`args\[0\]` is a .*Level"),
    ({1: 2}, SEVEN, r"`args\[0\]` has the key an int \(1\); keys must be strings or Symbols"),
    ({"_aj_globalid": 1}, SEVEN, r"`args\[0\]` has the key '_aj_globalid', which ActiveJob keeps to itself"),
    (datetime(2030, 1, 2), SEVEN, r"`args\[0\]` is the datetime 2030-01-02T00:00:00 without a time zone"),  # noqa: DTZ001
    (Range(1, 2), SIX, r"`args\[0\]` is .*Range.*, which Rails 6.1 cannot read"),
    (Range(1, object()), SEVEN, r"`args\[0\].end` is an object"),
]


@pytest.mark.parametrize(("value", "dialect", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_rails_could_not_read_is_refused_with_its_path(value: Any, dialect: Dialect, message: str) -> None:
    with pytest.raises(ArgumentsError, match=message):
        encode([value], dialect)


def test_unknown_zones_keep_their_name_and_the_offset_they_came_with() -> None:
    zoned = {
        "_aj_serialized": f"{SERIALIZERS}TimeWithZoneSerializer",
        "value": "2030-01-02T03:04:05.000000000+01:30",
        "time_zone": "Mars/Olympus_Mons",
    }
    (moment,) = decode([zoned])
    assert moment.utcoffset() == timedelta(hours=1, minutes=30)
    assert encode([moment], SEVEN) == [zoned]


@pytest.mark.parametrize("zone", ["../../etc/passwd", "America", "", "Europe/Paris\n", "x" * 10_000, "Etc/\u0000"])
def test_the_name_of_a_zone_opens_no_other_file(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if zone != "America":  # a folder of the database

        def never(name: str) -> None:
            raise AssertionError(f"{name!r} was looked for")

        monkeypatch.setattr(ajtimes, "ZoneInfo", never)
    text = "2030-01-02T03:04:05.000000000Z"
    (moment,) = decode([{"_aj_serialized": f"{SERIALIZERS}TimeWithZoneSerializer", "value": text, "time_zone": zone}])
    assert (moment.utcoffset(), moment.zone) == (timedelta(0), zone)

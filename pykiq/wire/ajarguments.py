"""ActiveJob's arguments: Ruby's values in JSON ⇄ Python's (WIRE.md §15.3).

Ruby                            Python
------------------------------  ------------------------------------------------------------
nil, true, 1, 1.5, "x", [1]     None, True, 1, 1.5, "x", [1]
:sym                            Symbol, which is a str
{a: 1, "b" => 2}                dict; keys that are symbols are a Symbol
perform(1, a: 2)                the last argument a Keywords, which is a dict
params (indifferent access)     IndifferentHash, which is a dict
Time, DateTime                  Time, DateTime, which are datetimes; a datetime with an offset is written as a Time
Time.current, model attributes  TimeWithZone, which is a datetime; a datetime with a ZoneInfo is written as one
Date                            date
5.minutes, 1.month              Duration; a timedelta is written as one
BigDecimal                      Decimal; Rails 6.1 writes plain text
1..5                            Range; Rails 6.1 has none
String, Kernel                  Module
a record                        GlobalID, or what its model's locator makes of it; `to_global_id()` is asked
a custom serializer's           Custom
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from pykiq.errors import ArgumentsError, DeserializationError
from pykiq.wire import ajtimes
from pykiq.wire.ajtimes import DateTime, Time, TimeWithZone
from pykiq.wire.ajvalues import Custom, Duration, GlobalID, IndifferentHash, Keywords, Module, Range, Symbol
from pykiq.wire.arguments import shown
from pykiq.wire.dialect import Dialect

_GLOBALID = "_aj_globalid"
_SYMBOL_KEYS = "_aj_symbol_keys"
_KEYWORDS = "_aj_ruby2_keywords"
_INDIFFERENT = "_aj_hash_with_indifferent_access"
_SERIALIZED = "_aj_serialized"
_RESERVED = frozenset({_GLOBALID, _SYMBOL_KEYS, _KEYWORDS, _INDIFFERENT, _SERIALIZED})

_PREFIX = "ActiveJob::Serializers::"
_PLAIN = frozenset({str, int, float, bool, type(None)})

Locate = Callable[[GlobalID], Any]
Decoder = Callable[[Mapping[str, Any], str, Locate], Any]


def as_they_are(record: GlobalID) -> GlobalID:
    """The `locate` of whoever has no use for records."""
    return record


# Reading


def decode(arguments: object, locate: Locate = as_they_are) -> list[Any]:
    """The Python values of `arguments`, a job data's list. `locate` turns each GlobalID into what the handler gets.

    Raises DeserializationError with the path of what cannot be read; what `locate` raises is its cause.
    """
    if arguments is None:
        return []
    if not isinstance(arguments, list):
        raise DeserializationError(f"`arguments` is {arguments!r:.60}; expected the list that ActiveJob writes")
    return [_decode(value, f"arguments[{index}]", locate) for index, value in enumerate(arguments)]


def _decode(value: Any, path: str, locate: Locate) -> Any:
    if isinstance(value, list):
        return [_decode(item, f"{path}[{index}]", locate) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and _GLOBALID in value:
        return _record(value[_GLOBALID], path, locate)
    if _SERIALIZED in value:
        return _object(value, path, locate)
    return _hash(value, path, locate)


def _hash(value: Mapping[str, Any], path: str, locate: Locate) -> dict[str, Any]:
    items = {
        key: _decode(item, f'{path}["{key}"]', locate)
        for key, item in value.items()
        if key not in (_INDIFFERENT, _SYMBOL_KEYS, _KEYWORDS)
    }
    if value.get(_INDIFFERENT):
        return IndifferentHash(items)
    marker = _SYMBOL_KEYS if _SYMBOL_KEYS in value else _KEYWORDS
    symbols = value.get(marker, [])
    if not isinstance(symbols, list):
        raise DeserializationError(f"`{path}` has {symbols!r:.60} as {marker}; expected a list of keys")
    named = {Symbol(key) if key in symbols else key: item for key, item in items.items()}
    return Keywords(named) if marker in value and marker == _KEYWORDS else named


def _record(uri: Any, path: str, locate: Locate) -> Any:
    try:
        return locate(GlobalID(uri))
    except Exception as error:
        raise DeserializationError(f"`{path}`, the record {uri!r:.80}, cannot be located: {error}") from error


def _object(value: Mapping[str, Any], path: str, locate: Locate) -> Any:
    serializer = value[_SERIALIZED]
    if not isinstance(serializer, str):
        raise DeserializationError(f"`{path}` has {serializer!r:.60} as {_SERIALIZED}; expected a serializer's name")
    decoder = _DECODERS.get(serializer)
    if decoder is None:
        return Custom(serializer, {key: item for key, item in value.items() if key != _SERIALIZED})
    try:
        return decoder(value, path, locate)
    except (ValueError, TypeError, KeyError, OverflowError, InvalidOperation) as error:
        what = serializer.removeprefix(_PREFIX).removesuffix("Serializer")
        raise DeserializationError(f"`{path}` is no {what} that can be read here: {error}") from error


def _text(value: Mapping[str, Any]) -> str:
    text = value["value"]
    if not isinstance(text, str):
        raise ValueError(f"its value is {text!r:.60}, expected text")
    return text


def _duration(value: Mapping[str, Any], path: str, locate: Locate) -> Duration:
    parts = _decode(value["parts"], f"{path}.parts", locate)
    return Duration(_decode(value["value"], f"{path}.value", locate), tuple((str(name), item) for name, item in parts))


def _range(value: Mapping[str, Any], path: str, locate: Locate) -> Range:
    begin, end = (_decode(value[key], f"{path}.{key}", locate) for key in ("begin", "end"))
    return Range(begin, end, bool(value["exclude_end"]))


_DECODERS: Mapping[str, Decoder] = {
    f"{_PREFIX}{name}Serializer": decoder
    for name, decoder in {
        "Symbol": lambda value, path, locate: Symbol(_text(value)),
        "Date": lambda value, path, locate: ajtimes.read_date(value["value"]),
        "Time": lambda value, path, locate: ajtimes.read(value["value"], Time),
        "DateTime": lambda value, path, locate: ajtimes.read(value["value"], DateTime),
        "TimeWithZone": lambda value, path, locate: ajtimes.read_with_zone(value["value"], value.get("time_zone")),
        "BigDecimal": lambda value, path, locate: Decimal(_text(value)),
        "Module": lambda value, path, locate: Module(_text(value)),
        "Duration": _duration,
        "Range": _range,
    }.items()
}


# Writing


def encode(arguments: Sequence[Any], dialect: Dialect) -> list[Any]:
    """`arguments` as this dialect's Rails writes them.

    Raises ArgumentsError with the path of what cannot be written.
    """
    return [_encode(value, f"args[{index}]", dialect, False) for index, value in enumerate(arguments)]


def _encode(value: Any, path: str, dialect: Dialect, indifferent: bool) -> Any:
    """`indifferent`: inside an IndifferentHash, where Rails makes all hashes such."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Symbol):
        return _serialized("Symbol", value=str(value))
    if isinstance(value, (list, tuple)):
        return [_encode(item, f"{path}[{index}]", dialect, indifferent) for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        return _encode_hash(value, path, dialect, indifferent)
    for kind, encoder in _ENCODERS:
        if isinstance(value, kind):
            return encoder(value, path, dialect)
    if isinstance(value, (str, int, float)):  # a StrEnum's member, numpy's float64: it arrives as a plain one
        return value
    name = getattr(value, "to_global_id", None)
    if callable(name):
        return {_GLOBALID: str(name())}
    raise ArgumentsError(
        f"`{path}` is {shown(value)}; ActiveJob's arguments are JSON values, dates and times, Decimals, the types of"
        " pykiq.activejob, and objects with a to_global_id()"
    )


def _encode_hash(value: Mapping[Any, Any], path: str, dialect: Dialect, indifferent: bool) -> dict[str, Any]:
    indifferent = indifferent or isinstance(value, IndifferentHash)
    written: dict[str, Any] = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise ArgumentsError(f"`{path}` has the key {shown(key)}; keys must be strings or Symbols; pass str(key)")
        if key in _RESERVED:
            raise ArgumentsError(f"`{path}` has the key {str(key)!r}, which ActiveJob keeps to itself; rename it")
        written[str(key)] = _encode(item, f'{path}["{key}"]', dialect, indifferent)
    if indifferent:
        return written | {_INDIFFERENT: True}
    marker = _KEYWORDS if isinstance(value, Keywords) else _SYMBOL_KEYS
    return written | {marker: [str(key) for key in value if isinstance(key, Symbol)]}


def _serialized(name: str, **fields: Any) -> dict[str, Any]:
    return {_SERIALIZED: f"{_PREFIX}{name}Serializer", **fields}


def _encode_moment(value: datetime, path: str, dialect: Dialect) -> dict[str, Any]:
    if value.utcoffset() is None:
        raise ArgumentsError(
            f"`{path}` is the datetime {value.isoformat()} without a time zone, so every process could read another"
            " moment into it; pass value.astimezone(), or value.replace(tzinfo=datetime.UTC)"
        )
    text, zone = ajtimes.spell(value), ajtimes.zone_of(value)
    if isinstance(value, TimeWithZone) or (zone is not None and not isinstance(value, Time)):
        named = {} if zone is None or _is_rails_6(dialect) else {"time_zone": zone}
        return _serialized("TimeWithZone", value=text, **named)
    return _serialized("DateTime" if isinstance(value, DateTime) else "Time", value=text)


def _encode_duration(value: Duration, path: str, dialect: Dialect) -> dict[str, Any]:
    parts = [
        [_serialized("Symbol", value=name), _encode(number, f"{path}.{name}", dialect, False)]
        for name, number in value.parts
    ]
    return _serialized("Duration", value=_encode(value.value, f"{path}.value", dialect, False), parts=parts)


def _encode_timedelta(value: timedelta, path: str, dialect: Dialect) -> dict[str, Any]:
    whole, rest = divmod(value, timedelta(seconds=1))
    return _encode_duration(Duration.of(seconds=value.total_seconds() if rest else whole), path, dialect)


def _encode_decimal(value: Decimal, path: str, dialect: Dialect) -> Any:
    if not value.is_finite():
        text = "NaN" if value.is_nan() else "-Infinity" if value < 0 else "Infinity"
    else:
        whole, _, fraction = format(value, "f").partition(".")
        text = f"{whole}.{fraction.rstrip('0') or '0'}"
    return text if _is_rails_6(dialect) else _serialized("BigDecimal", value=text)


def _encode_range(value: Range, path: str, dialect: Dialect) -> dict[str, Any]:
    if _is_rails_6(dialect):
        raise ArgumentsError(f"`{path}` is {shown(value)}, which Rails 6.1 cannot read; pass its two ends")
    begin, end = (_encode(getattr(value, key), f"{path}.{key}", dialect, False) for key in ("begin", "end"))
    return _serialized("Range", begin=begin, end=end, exclude_end=value.exclude_end)


_ENCODERS: Sequence[tuple[type, Callable[[Any, str, Dialect], Any]]] = (
    (datetime, _encode_moment),  # before date, which it is too
    (date, lambda value, path, dialect: _serialized("Date", value=value.isoformat())),
    (Duration, _encode_duration),
    (timedelta, _encode_timedelta),
    (Decimal, _encode_decimal),
    (Range, _encode_range),
    (Module, lambda value, path, dialect: _serialized("Module", value=value.name)),
    (GlobalID, lambda value, path, dialect: {_GLOBALID: value.uri}),
    (Custom, lambda value, path, dialect: {_SERIALIZED: value.serializer, **value.fields}),
)


def _is_rails_6(dialect: Dialect) -> bool:
    return dialect.rails == "6.1"

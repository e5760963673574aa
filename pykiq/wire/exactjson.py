"""JSON that comes back byte for byte: Ruby's float spellings, integers of any size, bytes that are not UTF-8.

orjson does the work whenever it can be proved to lose nothing: where there are floats, what it read is written again
and compared with the bytes it came from. Everything else takes the exact path, in Python (WIRE.md §1.2); all of it
where there is no orjson.
"""

from __future__ import annotations

import enum
import json
import math
import re
import uuid
from collections.abc import Sequence
from itertools import chain
from json.encoder import encode_basestring
from typing import Any

from pykiq.errors import PayloadError, Unreadable
from pykiq.wire.dialect import SEVEN, Dialect
from pykiq.wire.floats import FIXED_BELOW, FIXED_FROM, has_common_spelling, spell
from pykiq.wire.quick import orjson

MAX_NESTING = 100  # levels, counting the payload object and `args`: captures deep_nesting_*, odd_json_nesting_*

_LONG_INTEGER = 640
"""Digits: int() and str() may refuse more than this, depending on the interpreter's settings. Decimals take any number
of them; their module is loaded when there is one, as hardly ever there is."""
_OPTIONS = (
    orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
    if orjson
    else 0
)

_ALIKE = frozenset({type(None), bool, int, str})

_LONE_SURROGATE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>u[dD][89a-fA-F])|.)", re.DOTALL
)


class SpelledFloat(float):
    """A float that is written as it was read. `text` is its JSON spelling; `1e400` is infinite but keeps it."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> SpelledFloat:
        made = super().__new__(cls, text)
        made.text = text
        return made

    def __reduce__(self) -> tuple[type[SpelledFloat], tuple[str]]:
        return SpelledFloat, (self.text,)


def has_spelling(value: Any) -> bool:
    """Tell whether there is a SpelledFloat anywhere in what `loads` returned."""
    items = [value]
    for item in items:  # grows as it goes
        kind = type(item)
        if kind is dict:
            items.extend(item.values())
        elif kind is list:
            items.extend(item)
        elif kind is SpelledFloat:
            return True
    return False


def unspelled(value: Any) -> Any:
    """Return a copy of what `loads` returned with plain floats for SpelledFloats."""
    if isinstance(value, dict):
        return {key: unspelled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unspelled(item) for item in value]
    return float(value) if isinstance(value, SpelledFloat) else value


def loads(raw: bytes) -> Any:
    """Return the value that JSON bytes hold.

    Integers have any size. A float is a SpelledFloat unless it has the shortest digits without an exponent. Bytes that
    are not UTF-8 become surrogate escapes. Of duplicate keys the last wins.

    Raises Unreadable for what Ruby's parser refuses under 8.1 (WIRE.md §19): anything that is not one JSON document,
    NaN and Infinity, comments, raw control characters, lone surrogate escapes, more than 100 levels of nesting.
    """
    if orjson is None:
        return _exact_loads(raw)
    try:
        value = orjson.loads(raw)
    except ValueError:
        return _exact_loads(raw)
    floats = _floats(value)  # long integers among them: orjson makes floats of those
    if floats is None or (floats and not (_are_common(floats) and orjson.dumps(value) == raw)):
        return _exact_loads(raw)
    return value


def dumps(value: Any, dialect: Dialect = SEVEN) -> bytes:
    """Return `value` as the compact JSON that Ruby writes in this dialect: raw UTF-8, Ruby's spelling of floats.

    A SpelledFloat is written as it was read. Other floats cost some 10 µs each in 8.1's dialect, whose digits are no
    longer orjson's; its timestamps are integers, so that is about arguments only.

    Enum members are written as their value and UUIDs as their text.

    Raises PayloadError for NaN, infinity, text with lone surrogates, and types and nesting that JSON has not.
    """
    if orjson is None:
        return _exact_dumps(value, dialect)
    try:
        out: bytes = orjson.dumps(value, option=_OPTIONS)
    except TypeError:
        return _exact_dumps(value, dialect)
    floats = _floats(value)
    if floats is None or (floats and (dialect.short_floats or not _are_common(floats))):
        return _exact_dumps(value, dialect)
    return out


def dumps_flat(lists: Sequence[Sequence[Any]]) -> list[bytes] | None:
    """What `dumps` gives for each of `lists`, without the outer brackets, if it can be had for all of them at once.

    It can for lists of null, booleans, 64-bit integers and text, which every dialect writes alike. None for any others.
    """
    if orjson is None or not _ALIKE.issuperset(map(type, chain.from_iterable(lists))):
        return None
    try:
        written: list[bytes] = orjson.dumps(lists, option=_OPTIONS)[2:-2].split(b"],[")
    except TypeError:
        return None
    return written if len(written) == len(lists) else None  # else there was a `],[` in a text


def _floats(value: Any) -> list[float] | None:
    """The floats anywhere in a value that orjson has read or written; apart from them the exact path does the same.

    None when it does not: for types that only Python knows, and for nesting to complain of. To look for numbers in the
    text instead takes 150 times as long when it is 20 kB of prose.
    """
    floats: list[float] = []
    containers = 0
    items = [value]
    for item in items:  # grows as it goes
        kind = type(item)
        if kind in _ALIKE:
            continue
        if kind is dict or kind is list or kind is tuple:
            containers += 1
            items.extend(item.values() if kind is dict else item)
        elif kind is float:
            floats.append(item)
        else:
            return None
    return floats if containers <= MAX_NESTING or _depth(value) <= MAX_NESTING else None


def _are_common(floats: list[float]) -> bool:
    """Whether all dialects spell these alike. NaN, which orjson writes as null, is never one of them."""
    for one in floats:  # noqa: SIM110 (each job has some: `all` and a generator take three times as long)
        if not (FIXED_FROM <= one < FIXED_BELOW or FIXED_FROM <= -one < FIXED_BELOW or one == 0.0):
            return False
    return True


# Reading


def _exact_loads(raw: bytes) -> Any:
    if b"\\u" in raw and any(escape["lone"] for escape in _LONE_SURROGATE.finditer(raw)):
        raise Unreadable("the JSON escapes half a surrogate pair; Ruby cannot read it; escape both halves or none")
    try:
        value = _DECODER.decode(raw.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"the bytes are not JSON that Ruby reads: {_reason(error)}") from None
    if raw.count(b"[") + raw.count(b"{") > MAX_NESTING and _depth(value) > MAX_NESTING:
        raise Unreadable(f"the JSON is nested more than {MAX_NESTING} levels deep; Ruby reads no more")
    return value


def _reason(error: Exception) -> str:
    return "nested far too deep" if isinstance(error, RecursionError) else str(error)


def _read_float(text: str) -> float:
    value = float(text)
    return value if has_common_spelling(value, text) else SpelledFloat(text)


def _read_integer(text: str) -> int:
    if len(text) <= _LONG_INTEGER:
        return int(text)
    from decimal import Decimal

    return int(Decimal(text))


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")


_DECODER = json.JSONDecoder(parse_float=_read_float, parse_int=_read_integer, parse_constant=_refuse_constant)


def _depth(value: Any) -> int:
    depth = 0
    level = [value]
    while level := [item for item in level if isinstance(item, (dict, list, tuple))]:
        depth += 1
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return depth


# Writing


class _Refused(Exception):
    """A value that has no JSON; the path to it is gathered on the way out."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.path: list[str] = []


def _exact_dumps(value: Any, dialect: Dialect) -> bytes:
    parts: list[str] = []
    try:
        _write(value, dialect, parts, MAX_NESTING)
        return "".join(parts).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        why = f"the text holds the lone surrogate {error.object[error.start]!r}; a job's text must be valid Unicode"
    except _Refused as refused:
        why = f"`{''.join(reversed(refused.path)).lstrip('.') or 'the payload'}` {refused}"
    raise PayloadError(why)


def _write(value: Any, dialect: Dialect, parts: list[str], room: int) -> None:
    if isinstance(value, str):
        parts.append(encode_basestring(value))
    elif value is None or value is True or value is False:
        parts.append("null" if value is None else "true" if value else "false")
    elif isinstance(value, int):
        parts.append(_integer(value))
    elif isinstance(value, float):
        parts.append(_float(value, dialect))
    elif isinstance(value, dict):
        _write_object(value, dialect, parts, _less(room))
    elif isinstance(value, (list, tuple)):
        _write_array(value, dialect, parts, _less(room))
    elif isinstance(value, enum.Enum):
        _write(value.value, dialect, parts, room)
    elif isinstance(value, uuid.UUID):
        parts.append(f'"{value}"')
    else:
        raise _Refused(f"is a {type(value).__qualname__}; a job holds JSON values only; turn it into text or numbers")


def _write_object(value: dict[Any, Any], dialect: Dialect, parts: list[str], room: int) -> None:
    before = "{"
    for key, item in value.items():
        if not isinstance(key, str):
            raise _Refused(f"has the key {key!r}; keys must be strings; pass str(key)")
        parts.append(f"{before}{encode_basestring(key)}:")
        before = ","
        try:
            _write(item, dialect, parts, room)
        except _Refused as refused:
            refused.path.append(f".{key}")
            raise
    parts.append("}" if value else "{}")


def _write_array(value: list[Any] | tuple[Any, ...], dialect: Dialect, parts: list[str], room: int) -> None:
    before = "["
    for index, item in enumerate(value):
        parts.append(before)
        before = ","
        try:
            _write(item, dialect, parts, room)
        except _Refused as refused:
            refused.path.append(f"[{index}]")
            raise
    parts.append("]" if value else "[]")


def _less(room: int) -> int:
    if room <= 0:
        raise _Refused(f"is nested more than {MAX_NESTING} levels deep; Ruby could not read it; flatten it")
    return room - 1


def _integer(value: int) -> str:
    try:
        return int.__repr__(value)
    except ValueError:  # longer than the interpreter cares to print
        from decimal import Decimal

        return str(Decimal(int(value)))


def _float(value: float, dialect: Dialect) -> str:
    if isinstance(value, SpelledFloat):
        return value.text
    if not math.isfinite(value):
        raise _Refused(f"is {float(value)!r}; JSON has no such number; pass None or a string")
    return spell(value, dialect)

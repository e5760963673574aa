"""The check of job arguments before a push: only what JSON brings back unchanged (WIRE.md §4.1)."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from typing import Any

from pykiq.errors import ArgumentsError

NESTING_LIMIT = 98  # arrays or objects around a value inside one argument: captures deep_nesting_98, deep_nesting_99

_SAFE = frozenset({int, bool, type(None)})
_INSTEAD = {
    "datetime": "pass value.isoformat() and parse it in the job",
    "date": "pass value.isoformat() and parse it in the job",
    "time": "pass value.isoformat() and parse it in the job",
    "timedelta": "pass value.total_seconds()",
    "Decimal": "pass str(value)",
    "UUID": "pass str(value)",
    "PosixPath": "pass str(value)",
    "bytes": "pass base64 text of it",
    "bytearray": "pass base64 text of it",
    "set": "pass sorted(value) or list(value)",
    "frozenset": "pass sorted(value) or list(value)",
    "generator": "pass list(value)",
}


def check_arguments(args: object) -> None:
    """Raise ArgumentsError unless `args` is a list or tuple that JSON brings back as it is.

    Allowed, as in 7.x and 8.x: None, bool, int, finite float, str, list, dict with str keys; a tuple too, which is
    written as an array. Refused: everything else, text with lone surrogates, nesting beyond Ruby's limit.
    """
    if not isinstance(args, (list, tuple)):
        raise ArgumentsError(f"`args` is {shown(args)}; the arguments of a job are a list; pass [value]")
    for index, value in enumerate(args):
        if type(value) not in _SAFE:
            _check(value, f"args[{index}]", NESTING_LIMIT)


def _check(value: Any, path: str, room: int) -> None:
    kind = type(value)
    if kind in _SAFE:
        return
    if kind is str:
        _check_text(value, path)
    elif kind is float:
        if not math.isfinite(value):
            raise ArgumentsError(f"`{path}` is {value!r}; JSON has no such number; pass None or a string")
    elif isinstance(value, (list, tuple)):
        _check_room(path, room)
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]", room - 1)
    elif isinstance(value, dict):
        _check_room(path, room)
        _check_object(value, path, room)
    else:
        _check_other(value, path)


def _check_object(value: Mapping[Any, Any], path: str, room: int) -> None:
    for key, item in value.items():
        if not isinstance(key, str):
            raise ArgumentsError(
                f"`{path}` has the key {shown(key)}; keys must be strings, JSON would turn it into one; pass str(key)"
            )
        _check_text(key, f"{path} (a key)")
        _check(item, f'{path}["{key}"]', room - 1)


def _check_other(value: Any, path: str) -> None:
    # A subclass of str, int or float arrives as a plain one, which is equal to it: a StrEnum member, numpy's float64.
    if isinstance(value, str):
        _check_text(str.__str__(value), path)
    elif isinstance(value, float):
        _check(float(value), path, 0)
    elif not isinstance(value, int):
        raise ArgumentsError(
            f"`{path}` is {shown(value)}; job arguments must be JSON: null, booleans, finite numbers, text, lists and "
            f"objects with text keys; {_instead(value)}"
        )


def _check_text(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ArgumentsError(
            f"`{path}` holds the lone surrogate {text[error.start]!r}; text in a job must be valid Unicode; "
            "decode it with errors='replace', or pass base64 text"
        ) from None


def _check_room(path: str, room: int) -> None:
    if room <= 0:
        raise ArgumentsError(
            f"`{path[:60]}…` is nested more than {NESTING_LIMIT} levels deep; Ruby could not read the job; flatten it"
        )


def _instead(value: object) -> str:
    if isinstance(value, enum.Enum):
        return "pass value.value"
    return _INSTEAD.get(type(value).__name__, "pass numbers, strings, lists and dicts, or an id to look it up by")


def shown(value: object) -> str:
    """`value` for a message: its type and the beginning of its repr."""
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    try:
        text = repr(value)
    except Exception:
        text = "…"
    article = "an" if name[:1].lower() in "aeiou" else "a"
    return f"{article} {name} ({text if len(text) <= 60 else text[:59] + '…'})"

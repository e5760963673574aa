"""The arguments of a Ruby call as far as they are literals: `queue: :low, tags: %w[a b], retry_for: 2.days`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<float>-?\d[\d_]*\.\d[\d_]*(?:e[+-]?\d+)?) (?!\.?\w)
      | (?P<duration>-?\d[\d_]*)\.(?P<unit>second|minute|hour|day|week)s?(?:\.to_i)?\b
      | (?P<int>-?\d[\d_]*) (?![.\w])
      | (?P<words>%[wi]\[(?P<inside>[^\]]*)\])
      | :?"(?P<double>(?:[^"\\#]|\\.)*)" | :?'(?P<single>(?:[^'\\]|\\.)*)'
      | (?P<label>[A-Za-z_]\w*):(?!:) | :(?P<symbol>[A-Za-z_]\w*[?!]?)
      | (?P<word>true|false|nil)\b
      | (?P<mark>=>|[\[\]{},:])
    )""",
    re.VERBOSE,
)
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}
_WORDS = {"true": True, "false": False, "nil": None}


class NotRead(Exception):
    """Ruby that is more than literals."""


def options_of(text: str) -> dict[str, Any]:
    """The keywords of a call, literals only. Raises NotRead."""
    text = text.strip()
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    found, rest = _pairs([*_tokens(text), ("mark", "}")])
    if rest:
        raise NotRead
    return found


_Token = tuple[str, Any]


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    place, text = 0, text.strip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise NotRead
        place = match.end()
        found.append(_token(match))
    return found


def _token(match: re.Match[str]) -> _Token:
    given = {name: value for name, value in match.groupdict().items() if value is not None}
    if "duration" in given:
        return "value", int(given["duration"].replace("_", "")) * _SECONDS[given["unit"]]
    if "words" in given:
        return "value", given["inside"].split()
    name, text = next((name, value) for name, value in given.items())
    match name:
        case "float":
            return "value", float(text.replace("_", ""))
        case "int":
            return "value", int(text.replace("_", ""))
        case "double" | "single":
            if "\\" in text:
                raise NotRead
            return "value", text
        case "symbol":
            return "value", text
        case "word":
            return "value", _WORDS[text]
        case _:
            return name, text


def _value(tokens: Sequence[_Token]) -> tuple[Any, Sequence[_Token]]:
    if not tokens:
        raise NotRead
    (kind, value), rest = tokens[0], tokens[1:]
    if kind == "value":
        return value, rest
    if (kind, value) == ("mark", "{"):
        return _pairs(rest)
    if (kind, value) == ("mark", "["):
        return _items(rest)
    raise NotRead


def _items(tokens: Sequence[_Token]) -> tuple[list[Any], Sequence[_Token]]:
    items: list[Any] = []
    while tokens and tokens[0] != ("mark", "]"):
        item, tokens = _value(tokens)
        items.append(item)
        if tokens and tokens[0] == ("mark", ","):
            tokens = tokens[1:]
    if not tokens:
        raise NotRead
    return items, tokens[1:]


def _pairs(tokens: Sequence[_Token]) -> tuple[dict[str, Any], Sequence[_Token]]:
    pairs: dict[str, Any] = {}
    while tokens and tokens[0] != ("mark", "}"):
        (kind, key), tokens = tokens[0], tokens[1:]
        if kind != "label":
            if kind != "value" or not isinstance(key, str) or not tokens or tokens[0] not in _ARROWS:
                raise NotRead
            tokens = tokens[1:]
        pairs[key], tokens = _value(tokens)
        if tokens and tokens[0] == ("mark", ","):
            tokens = tokens[1:]
    if not tokens:
        raise NotRead
    return pairs, tokens[1:]


_ARROWS = (("mark", "=>"), ("mark", ":"))

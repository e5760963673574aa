"""What the command prints: text that no terminal obeys, JSON that every program reads, words for a shell.

Names and payloads are somebody else's words. Each line for people goes through `say`, each value for programs through
`strict_json`, and each name in a command that is offered to be pasted through `word`.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from typing import Any

import click

_PRINTABLE_BITS = 2000  # of an integer: an interpreter may be set to refuse those of more than 640 digits


def say(text: str, *, mark: str = "", err: bool = False) -> None:
    """Print `text`, its lines as they are and each of them `printable`; `mark` before it may have colours."""
    click.echo(mark + "\n".join(map(printable, text.split("\n"))), err=err)


def printable(text: str) -> str:
    """`text` on one line, and without anything that a terminal would obey or that turns the order of what is shown.

    A byte that is no UTF-8 is shown as `\\xe9`.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " if char in "\n\t" else _escape(char) for char in text)


def strict_json(value: Any) -> str:
    """`value` as JSON in the strict sense, in ASCII, on one line.

    What JSON has no word for is text: `"inf"`, `"-inf"` and `"nan"` as Redis spells them, an integer of thousands of
    digits, and names with the bytes that are no UTF-8 escaped.
    """
    return json.dumps(_strict(value), allow_nan=False).replace("\x7f", "\\u007f")


def escaped_json(text: str) -> str:
    """JSON, valid as it is, without any character that a terminal would obey: those are written as escapes.

    They can only stand in its texts; between its tokens there are line breaks at most.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _json_escape(char) for char in text)


def word(name: str) -> str:
    """`name` as a shell reads it back: in quotes where it needs them, as `$'…'` if it cannot be printed."""
    if name.isprintable():
        return shlex.quote(name)
    return "$'" + "".join(_in_quotes(char) for char in name) + "'"


def argument(name: str) -> str:
    """The same for the argument of a pykiq command, where a leading dash would make an option of it."""
    return f"-- {word(name)}" if name.startswith("-") else word(name)


def _in_quotes(char: str) -> str:
    if char in "'\\":
        return f"\\{char}"
    if char.isprintable():
        return char
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))


def _escape(char: str) -> str:
    if "\udc80" <= char <= "\udcff":
        return f"\\x{ord(char) - 0xDC00:02x}"
    return ascii(char)[1:-1]


def _json_escape(char: str) -> str:
    return " " if char in "\r\n\t" else "\\u007f" if char == "\x7f" else json.dumps(char)[1:-1]


def _strict(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        return {_strict(str(key)): _strict(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(one) for one in value]
    return digits(value) if isinstance(value, int) and value.bit_length() > _PRINTABLE_BITS else value


def digits(value: int) -> str:
    """An integer of any size in decimal; int() refuses to print one of thousands of digits."""
    from decimal import Decimal

    return str(value) if value.bit_length() <= _PRINTABLE_BITS else f"{Decimal(value):f}"

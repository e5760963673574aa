"""The values of an ERB expression: literals, conversions and arithmetic, each with Ruby's meaning."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import TypeGuard

Value = str | int | float | bool | None
Thunk = Callable[[], Value]

_ESCAPES = {"n": "\n", "t": "\t", "s": " ", "r": "\r", "e": "\x1b"}


class NotSupported(Exception):
    """The expression is Ruby beyond the supported forms. The text is the reason, where there is more to say."""


def literal(token: str) -> Value:
    if token in {"nil", "true", "false"}:
        return {"nil": None, "true": True, "false": False}[token]
    if token[:1] == "'":
        return re.sub(r"\\([\\'])", r"\1", token[1:-1])
    if token[:1] == '"':
        if re.search(r"#[{$@]", token):
            raise NotSupported("no interpolation in strings")
        if re.search(r"(?<!\\)(?:\\\\)*\\(?![ntsre])\w", token):
            raise NotSupported('no escapes in strings but \\n, \\t, \\r, \\s, \\e, \\\\ and \\"')
        return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), token[1:-1], flags=re.DOTALL)
    if re.fullmatch(r"0[0-9_]+", token):
        raise NotSupported("octal numbers")
    if re.fullmatch(r"[0-9][0-9_]*(\.[0-9]+)?", token):
        plain = token.replace("_", "")
        return float(plain) if "." in plain else int(plain)
    if token[:1] == ":" and len(token) > 1:
        return token[1:]
    raise NotSupported(f"`{token}`" if re.fullmatch(r"[A-Za-z_]\w*", token) else "")


def is_true(value: Value) -> bool:
    """Ruby's truth: 0 and "" are true."""
    return value is not None and value is not False


def same(left: Value, right: Value) -> bool:
    """Ruby's `==`: no boolean is a number."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def computed(operator: str, left: Thunk, right: Thunk) -> Thunk:
    def compute() -> Value:
        a, b = left(), right()
        if operator == "+" and isinstance(a, str) and isinstance(b, str):
            return a + b
        if not (_is_number(a) and _is_number(b)):
            raise ValueError(f"`{operator}` needs numbers on both sides; a variable is text, .to_i makes it a number")
        match operator:
            case "+":
                return a + b
            case "-":
                return a - b
            case "*":
                return a * b
        if b == 0:
            raise ValueError("division by 0")
        return a // b if isinstance(a, int) and isinstance(b, int) else a / b

    return compute


def _is_number(value: Value) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def processors() -> Value:
    """What `Etc.nprocessors` says: the processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def called(make: Thunk, method: Callable[[Value], Value], *, safe: bool) -> Thunk:
    def call() -> Value:
        value = make()
        return None if safe and value is None else method(value)

    return call


def _to_i(value: Value) -> Value:
    """Ruby's lenient integer: the digits at the front, else zero."""
    if isinstance(value, bool):
        raise NotSupported("a boolean has no .to_i")
    if isinstance(value, str):
        match = re.match(r"\s*[+-]?[0-9]+(?:_[0-9]+)*", value)
        return int(match[0].replace("_", "")) if match else 0
    return int(value or 0)


def _to_f(value: Value) -> Value:
    if isinstance(value, bool):
        raise NotSupported("a boolean has no .to_f")
    if isinstance(value, str):
        match = re.match(r"\s*[+-]?[0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", value)
        return float(match[0].replace("_", "")) if match else 0.0
    return float(value or 0)


def _to_s(value: Value) -> Value:
    return printed(value)


def _presence(value: Value) -> Value:
    """Rails' `presence`: nothing in place of blank text."""
    return None if value is False or (isinstance(value, str) and not value.strip()) else value


METHODS: Mapping[str, Callable[[Value], Value]] = {
    "to_i": _to_i,
    "to_f": _to_f,
    "to_s": _to_s,
    "to_sym": _to_s,
    "presence": _presence,
}

_INTEGER = re.compile(
    r"\s*(?P<sign>[+-]?)(?P<digits>0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]*|[1-9][0-9]*(?:_[0-9]+)*)\s*"
)


def strict_integer(value: Value) -> Value:
    """Ruby's `Integer(…)`: text must be a whole number, and a leading 0, 0x or 0b is a base."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return int(value)
    match = _INTEGER.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        # The value itself is not shown: it came from the environment.
        raise ValueError("Integer() was given " + ("nothing" if value in (None, "") else "what is no whole number"))
    digits = match["digits"].replace("_", "").lower()
    base = 16 if digits[:2] == "0x" else 2 if digits[:2] == "0b" else 8 if digits[:1] == "0" and digits != "0" else 10
    number = int(digits.removeprefix("0o"), base) if digits not in {"0", "0o"} else 0
    return -number if match["sign"] == "-" else number


def strict_float(value: Value) -> Value:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\s*", value):
        return float(value)
    raise ValueError("Float() was given " + ("nothing" if value in (None, "") else "what is no number"))


def printed(value: Value) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)

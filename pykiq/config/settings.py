"""What a value of each kind of setting looks like, and the one line that refuses a wrong one.

A rule takes whatever a keyword, a flag, a variable or a file gave and returns the value to use, or raises `Refused`
with what was expected. Text is accepted wherever a number is, because flags, variables and ERB only have text.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from pykiq.config.masking import masked
from pykiq.errors import ConfigError

Rule = Callable[[object], Any]

SHOWN_LENGTH = 60
SLIP = 0.85  # likeness of names that differ in a letter or two: rather a slip than another name


class Refused(ValueError):
    """A value a rule does not take. Its text is what was expected; `given` is shown in place of a secret value."""

    def __init__(self, expected: str, *, given: str | None = None) -> None:
        super().__init__(expected)
        self.given = given


def checked(rule: Rule, value: object, source: str) -> Any:
    """`rule` applied to `value`, which came from `source` (a flag, a variable, `file:line: key` or a keyword).

    Raises:
        ConfigError: one line with the source, what was given and what was expected.
    """
    try:
        return rule(value)
    except Refused as refused:
        given = refused.given if refused.given is not None else shown(value)
        raise ConfigError(f"{source} is {given}; expected {refused}") from None


def shown(value: object) -> str:
    """A value as an error message may show it: short, on one line, without passwords."""
    if isinstance(value, str):
        text = json.dumps(masked(value), ensure_ascii=False)
        if '"' in value and "'" not in value and "\\" not in value:
            text = f"'{masked(value)}'"  # JSON on a command line reads better without its quotes escaped
    elif value is None:
        text = "empty"
    elif isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, dict):
        text = "a mapping"
    else:
        text = masked(repr(value))
    # Bytes of a command line that are not UTF-8 are surrogates by now, which no log can write.
    text = " ".join(text.split()).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= SHOWN_LENGTH else text[: SHOWN_LENGTH - 1] + "…"


def did_you_mean(name: str, valid: Iterable[str], *, cutoff: float = 0.6) -> str:
    """`; did you mean …?` with the nearest of `valid`, or nothing when none is near."""
    nearest = difflib.get_close_matches(name, list(valid), n=1, cutoff=cutoff)
    return f"; did you mean `{nearest[0]}`?" if nearest else ""


def whole(minimum: int, maximum: int | None = None) -> Rule:
    """A whole number between `minimum` and `maximum`."""
    expected = (
        f"a whole number from {minimum} to {maximum}" if maximum is not None else f"a whole number, {minimum} or more"
    )

    def rule(value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            raise Refused(expected)
        if maximum is not None and value > maximum:
            raise Refused(expected)
        return value

    return rule


def seconds(value: object) -> float:
    """A duration in seconds, above zero."""
    expected = "a number of seconds above 0"
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise Refused(expected) from None
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise Refused(expected)
    number = float(value)
    if not math.isfinite(number) or number <= 0:
        raise Refused(expected)
    return number


def choice(*names: str) -> Rule:
    """One of `names`. A number is taken by its text, so that `wire: 8` and `rails: 6.1` work in YAML."""

    def rule(value: object) -> str:
        text = str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
        if isinstance(text, str) and text.strip().lower() in names:
            return text.strip().lower()
        near = did_you_mean(text.lower(), names) if isinstance(text, str) else ""
        raise Refused(f"{', '.join(names[:-1])} or {names[-1]}{near}")

    return rule


def boolean(value: object) -> bool:
    """A yes or a no, in any of YAML's spellings, or 1 and 0."""
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower() if isinstance(value, (str, int)) else ""
    if text in {"1", "true", "yes", "on"}:
        return True
    if text in {"0", "false", "no", "off"}:
        return False
    raise Refused("true or false")


def text(value: object) -> str:
    """Text on one line; a number counts as its text."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or "\n" in value or "\0" in value:
        raise Refused("text on one line")
    return utf8(value.strip())


def utf8(value: str) -> str:
    """Text that can be written as UTF-8, as everything in Redis is."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Refused("text in UTF-8") from None
    return value


def filled_text(value: object) -> str:
    """Text that is not empty."""
    stripped = text(value)
    if not stripped:
        raise Refused("a name")
    return stripped


def texts(value: object) -> tuple[str, ...]:
    """A list of texts; one text is split at spaces and commas."""
    if value is None:
        return ()
    if isinstance(value, str):
        return tuple(re.split(r"[\s,]+", utf8(value).strip(" ,\t\n"))) if value.strip(" ,\t\n") else ()
    if not isinstance(value, (list, tuple)):
        raise Refused("a list of names")
    try:
        return tuple(filled_text(item) for item in value)
    except Refused:
        raise Refused("a list of names") from None


def optional(rule: Rule) -> Rule:
    """The rule, or nothing: an empty value means the setting is not set."""

    def maybe(value: object) -> Any:
        return None if value is None or value == "" else rule(value)

    return maybe

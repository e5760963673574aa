"""One ERB expression: read by recursive descent over a closed set of tokens, with Ruby's meaning of each form."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

Value = str | int | float | bool | None

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<number>[+-]?[0-9][0-9_]*(?:\.[0-9]+)?)
      | (?P<name>[A-Za-z_][A-Za-z_0-9]*[?!]?)
      | (?P<symbol>:[A-Za-z_][A-Za-z_0-9]*)
      | (?P<mark>\|\||&\.|[.,()\[\]{}])
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "s": " ", "r": "\r", "e": "\x1b"}


class NotSupported(Exception):
    """The expression is Ruby beyond the supported forms. The text is the reason, where there is more to say."""


class Evaluation:
    """Reads `code` once, from left to right. Variables of a branch Ruby would not take are not required to be set."""

    def __init__(self, code: str, variables: Mapping[str, str]) -> None:
        self._tokens = _tokens(code)
        self._next = 0
        self._variables = variables

    def result(self) -> str:
        """The text ERB prints.

        Raises:
            NotSupported: the expression is something else.
            LookupError: the name of a variable that must be set and is not.
            ValueError: `Integer(…)` or `Float(…)` of something that is none.
        """
        make = self._either()
        if self._next < len(self._tokens):
            raise NotSupported
        return _printed(make())

    # Each reader returns a thunk: what is right of a `||` or in a default counts only when Ruby would get there.

    def _either(self) -> Callable[[], Value]:
        choices = [self._chain()]
        while self._takes("||"):
            choices.append(self._chain())

        def first() -> Value:
            value: Value = None
            for choice in choices:
                value = choice()
                if value is not None and value is not False:
                    return value
            return value

        return first

    def _chain(self) -> Callable[[], Value]:
        make = self._primary()
        while self._peek() in {".", "&."}:
            safe = self._take() == "&."
            name = self._take()
            if name not in _METHODS:
                raise NotSupported(f"`.{name}`" if name else "")
            if self._takes("("):
                self._expect(")")
            make = _called(make, _METHODS[name], safe=safe)
        return make

    def _primary(self) -> Callable[[], Value]:
        token = self._take()
        if token == "(":
            make = self._either()
            self._expect(")")
            return make
        if token == "ENV":
            return self._env()
        if token in {"Integer", "Float"}:
            convert = _strict_integer if token == "Integer" else _strict_float
            parenthesised = self._takes("(")
            inner = self._either()
            if parenthesised:
                self._expect(")")
            return lambda: convert(inner())
        literal = _literal(token)
        return lambda: literal

    def _env(self) -> Callable[[], Value]:
        if self._takes("["):
            name = self._name()
            self._expect("]")
            return lambda: self._variables.get(name)
        self._expect(".")
        self._expect("fetch")
        self._expect("(")
        name = self._name()
        default = self._either() if self._takes(",") else None
        self._expect(")")
        opening = self._peek()
        if opening in {"{", "do"}:
            self._take()
            default = self._either()
            self._expect("}" if opening == "{" else "end")

        def fetch() -> Value:
            if name in self._variables:
                return self._variables[name]
            if default is None:
                raise LookupError(name)
            return default()

        return fetch

    def _name(self) -> str:
        value = _literal(self._take())
        if not isinstance(value, str):
            raise NotSupported("a variable's name must be a plain string")
        return value

    def _peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        self._next += 1
        return token

    def _takes(self, token: str) -> bool:
        if self._peek() != token:
            return False
        self._next += 1
        return True

    def _expect(self, token: str) -> None:
        if not self._takes(token):
            raise NotSupported


def _tokens(code: str) -> list[str]:
    tokens: list[str] = []
    position = 0
    code = code.rstrip()
    while position < len(code):
        match = _TOKEN.match(code, position)
        if match is None:
            raise NotSupported
        tokens.append(match[0].strip() if match["string"] is None else match["string"])
        position = match.end()
    return tokens


def _literal(token: str) -> Value:
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
    if re.fullmatch(r"[+-]?0[0-9_]+", token):
        raise NotSupported("octal numbers")
    if re.fullmatch(r"[+-]?[0-9][0-9_]*(\.[0-9]+)?", token):
        plain = token.replace("_", "")
        return float(plain) if "." in plain else int(plain)
    if token[:1] == ":" and len(token) > 1:
        return token[1:]
    raise NotSupported(f"`{token}`" if re.fullmatch(r"[A-Za-z_]\w*", token) else "")


def _called(make: Callable[[], Value], method: Callable[[Value], Value], *, safe: bool) -> Callable[[], Value]:
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
    return _printed(value)


_METHODS: Mapping[str, Callable[[Value], Value]] = {"to_i": _to_i, "to_f": _to_f, "to_s": _to_s, "to_sym": _to_s}

_INTEGER = re.compile(
    r"\s*(?P<sign>[+-]?)(?P<digits>0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]*|[1-9][0-9]*(?:_[0-9]+)*)\s*"
)


def _strict_integer(value: Value) -> Value:
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


def _strict_float(value: Value) -> Value:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\s*", value):
        return float(value)
    raise ValueError("Float() was given " + ("nothing" if value in (None, "") else "what is no number"))


def _printed(value: Value) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)

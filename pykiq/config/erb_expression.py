"""One ERB expression: read by recursive descent over a closed set of tokens, with Ruby's meaning of each form."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping

from pykiq.config.erb_values import (
    METHODS,
    NotSupported,
    Thunk,
    Value,
    called,
    computed,
    is_true,
    literal,
    printed,
    processors,
    same,
    strict_float,
    strict_integer,
)

# Python's own stack bounds what can be read; no real expression comes near either of these.
MAX_TOKENS = 200
MAX_DEPTH = 20  # brackets within brackets

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<number>[0-9][0-9_]*(?:\.[0-9]+)?)
      | (?P<name>[A-Za-z_][A-Za-z_0-9]*[?!]?)
      | (?P<symbol>:[A-Za-z_][A-Za-z_0-9]*)
      | (?P<mark>\|\||&\.|==|!=|[.,()\[\]{}?:+\-*/])
    )""",
    re.VERBOSE | re.DOTALL,
)


class Evaluation:
    """Reads `code` once, from left to right. Variables of a branch Ruby would not take are not required to be set."""

    def __init__(self, code: str, variables: Mapping[str, str], environment: str = "development") -> None:
        """`environment` is what `Rails.env` says."""
        self._tokens = _tokens(code)
        if len(self._tokens) > MAX_TOKENS:
            raise NotSupported("too long")
        self._next = 0
        self._depth = 0
        self._variables = variables
        self._environment = environment

    def result(self) -> str:
        """The text ERB prints.

        Raises:
            NotSupported: the expression is something else.
            LookupError: the name of a variable that must be set and is not.
            ValueError: `Integer(…)` or `Float(…)` of something that is none, or arithmetic that Ruby refuses.
        """
        make = self._expression()
        if self._next < len(self._tokens):
            raise NotSupported
        return printed(make())

    # Each reader returns a thunk: a default, or what is right of a `||`, counts only when Ruby would get there. They
    # stand in the order of Ruby's precedence, what binds least first.

    def _expression(self) -> Thunk:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise NotSupported("nested too deeply")
        condition = self._either()
        if self._takes("?"):
            yes = self._expression()
            self._expect(":")
            no = self._expression()
            make: Thunk = lambda: yes() if is_true(condition()) else no()  # noqa: E731
        else:
            make = condition
        self._depth -= 1
        return make

    def _either(self) -> Thunk:
        choices = [self._comparison()]
        while self._takes("||"):
            choices.append(self._comparison())

        def first() -> Value:
            value: Value = None
            for choice in choices:
                value = choice()
                if is_true(value):
                    return value
            return value

        return first

    def _comparison(self) -> Thunk:
        left = self._sum()
        if self._peek() not in {"==", "!="}:
            return left
        equal = self._take() == "=="
        right = self._sum()
        return lambda: same(left(), right()) is equal

    def _sum(self) -> Thunk:
        make = self._product()
        while self._peek() in {"+", "-"}:
            make = computed(self._take(), make, self._product())
        return make

    def _product(self) -> Thunk:
        make = self._signed()
        while self._peek() in {"*", "/"}:
            make = computed(self._take(), make, self._signed())
        return make

    def _signed(self) -> Thunk:
        if self._peek() not in {"+", "-"}:
            return self._chain()
        sign = self._take()
        if not self._peek()[:1].isdigit():
            raise NotSupported
        return computed(sign, lambda: 0, self._chain())

    def _chain(self) -> Thunk:
        make = self._primary()
        while self._peek() in {".", "&."}:
            safe = self._take() == "&."
            name = self._take()
            if name not in METHODS:
                raise NotSupported(f"`.{name}`" if name else "")
            if self._takes("("):
                self._expect(")")
            make = called(make, METHODS[name], safe=safe)
        return make

    def _primary(self) -> Thunk:
        token = self._take()
        if token == "(":
            return self._in_brackets()
        if token == "ENV":
            return self._env()
        if token in {"Integer", "Float"}:
            convert = strict_integer if token == "Integer" else strict_float
            inner = self._in_brackets() if self._takes("(") else self._either()
            return lambda: convert(inner())
        if token in {"Rails", "Etc", "Socket"}:
            return self._about_the_process(token)
        value = literal(token)
        return lambda: value

    def _in_brackets(self) -> Thunk:
        make = self._expression()
        self._expect(")")
        return make

    def _about_the_process(self, module: str) -> Thunk:
        """`Rails.env`, `Rails.env.production?`, `Etc.nprocessors`, `Socket.gethostname`."""
        self._expect(".")
        environment, name = self._environment, self._take()
        match module, name:
            case "Rails", "env":
                if self._peek() == "." and self._peek(1).endswith("?"):
                    self._take()
                    asked = self._take().removesuffix("?")
                    return lambda: environment == asked
                return lambda: environment
            case "Etc", "nprocessors":
                return processors
            case "Socket", "gethostname":
                return socket.gethostname
        raise NotSupported(f"`{module}.{name}`")

    def _env(self) -> Thunk:
        if self._takes("["):
            name = self._name()
            self._expect("]")
            return lambda: self._variables.get(name)
        self._expect(".")
        self._expect("fetch")
        self._expect("(")
        name = self._name()
        default = self._expression() if self._takes(",") else None
        self._expect(")")
        opening = self._peek()
        if opening in {"{", "do"}:
            self._take()
            default = self._expression()
            self._expect("}" if opening == "{" else "end")

        def fetch() -> Value:
            if name in self._variables:
                return self._variables[name]
            if default is None:
                raise LookupError(name)
            return default()

        return fetch

    def _name(self) -> str:
        name = literal(self._take())
        if not isinstance(name, str):
            raise NotSupported("a variable's name must be a plain string")
        return name

    def _peek(self, ahead: int = 0) -> str:
        return self._tokens[self._next + ahead] if self._next + ahead < len(self._tokens) else ""

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

"""The ERB of sidekiq.yml: the forms of `ENV` that real files use, read by a small parser. Nothing is ever evaluated.

    <%= ENV["X"] %>   <%= ENV["X"] || 5 %>
    <%= ENV.fetch("X") %>   <%= ENV.fetch("X", 5) %>   <%= ENV.fetch("X") { 5 } %>
    any of them with .to_i, .to_f or .to_s, inside Integer(…), Float(…) or parentheses; literals; <%# comments %>

They mean what they mean in Ruby (WIRE.md §18, ERB with `-%>` trimming): an unset variable prints nothing, an empty one
is a value, `fetch` without a default refuses an unset variable, `Integer("010")` is eight.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pykiq.config.erb_values import Evaluation, NotSupported
from pykiq.errors import ConfigError

SUPPORTED = (
    'ENV["X"], ENV["X"] || "default", ENV.fetch("X", "default") or ENV.fetch("X") { "default" }, '
    "with .to_i or Integer(…), and comments"
)

_TAG = re.compile(r"<%%|(?P<open><%-?)(?P<kind>[=#]?)(?P<code>.*?)(?P<close>-?%>)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rendered:
    """The text after ERB, and for each of its lines the line of the file that it came from."""

    text: str
    lines: tuple[int, ...]

    def line(self, rendered: int) -> int:
        """The file's line (from 1) behind line `rendered` (from 1) of the text."""
        return self.lines[min(rendered, len(self.lines)) - 1] if self.lines else rendered


def render(text: str, variables: Mapping[str, str], path: str) -> Rendered:
    """`text` with its ERB replaced, values taken from `variables`.

    Raises:
        ConfigError: with `path:line`: a form that is not supported, or a required variable that is not set.
    """
    pieces: list[_Piece] = []
    position = 0
    for tag in _TAG.finditer(text):
        before = text[position : tag.start()]
        if tag["open"] == "<%-":
            before = re.sub(r"(?m)^[ \t]*\Z", "", before)
        pieces.append(_Piece(before, _line_of(text, position), literal=True))
        line = _line_of(text, tag.start())
        value = "<%" if tag["open"] is None else _value(tag, text, variables, f"{path}:{line}")
        pieces.append(_Piece(value, line, literal=False))
        position = tag.end()
        if tag["close"] == "-%>":
            position += next((len(end) for end in ("\n", "\r\n") if text.startswith(end, position)), 0)
    unclosed = text.find("<%", position)
    if unclosed >= 0:
        raise ConfigError(f"{path}:{_line_of(text, unclosed)}: `<%` without its `%>`; close it")
    pieces.append(_Piece(text[position:], _line_of(text, position), literal=True))
    return Rendered("".join(piece.text for piece in pieces), _lines(pieces))


class _Piece(NamedTuple):
    text: str
    line: int  # of the file, where the piece begins
    literal: bool  # a new line in it is one in the file too


def _line_of(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _lines(pieces: list[_Piece]) -> tuple[int, ...]:
    lines: list[int] = []
    fresh = True
    for piece in pieces:
        for index, segment in enumerate(re.findall(r"[^\n]*\n|[^\n]+", piece.text)):
            if fresh:
                lines.append(piece.line + (index if piece.literal else 0))
            fresh = segment.endswith("\n")
    if fresh:
        lines.append(pieces[-1].line + pieces[-1].text.count("\n"))
    return tuple(lines)


def _value(tag: re.Match[str], text: str, variables: Mapping[str, str], where: str) -> str:
    code = tag["code"].strip()
    if tag["kind"] == "#" or (not tag["kind"] and (not code or re.fullmatch(r"(#[^\n]*\n?\s*)+", code))):
        return ""
    if tag["kind"] == "=" and text[text.rfind("\n", 0, tag.start()) + 1 : tag.start()].lstrip().startswith("#"):
        return ""  # inside a YAML comment nobody reads the value, whatever it is
    shown = " ".join(tag[0].split())
    if tag["kind"] != "=":
        raise ConfigError(f"{where}: `{shown}` is Ruby code, which pykiq does not run; supported are {SUPPORTED}")
    try:
        return Evaluation(code, variables).result()
    except NotSupported as refused:
        reason = f" ({refused})" if str(refused) else ""
        raise ConfigError(f"{where}: `{shown}` is not supported{reason}; supported are {SUPPORTED}") from None
    except LookupError as missing:
        raise ConfigError(
            f"{where}: `{shown}` needs the variable {missing.args[0]}, which is not set; set it"
        ) from None
    except ValueError as wrong:
        raise ConfigError(f"{where}: `{shown}`: {wrong}") from None

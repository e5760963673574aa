"""The ERB of sidekiq.yml: the forms that real files use, read by a small parser. Nothing is ever evaluated.

    <%= ENV["X"] %>   <%= ENV["X"] || 5 %>
    <%= ENV.fetch("X") %>   <%= ENV.fetch("X", 5) %>   <%= ENV.fetch("X") { 5 } %>
    <%= Rails.env %>   <%= Rails.env.production? ? 25 : 5 %>   <%= Etc.nprocessors * 2 %>   <%= Socket.gethostname %>
    any of them with .to_i, .to_f, .to_s or .presence, inside Integer(…), Float(…) or parentheses, with + - * / == !=
    and `a ? b : c`; literals; <%# comments %>

They mean what they mean in Ruby (WIRE.md §18, ERB with `-%>` trimming): an unset variable prints nothing, an empty
one is a value, `fetch` without a default refuses an unset variable, `Integer("010")` is eight.

A tag that cannot be read is refused only when somebody asks for the value it stands in: the file is Ruby's too, and a
part that pykiq does not read may say what it likes. So a mark takes the tag's place in the text (`Rendered.refusal`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pykiq.config.erb_expression import Evaluation
from pykiq.config.erb_values import NotSupported
from pykiq.errors import ConfigError

SUPPORTED = (
    'ENV["X"], ENV["X"] || "default", ENV.fetch("X", "default"), Rails.env, Etc.nprocessors and Socket.gethostname, '
    "with .to_i, arithmetic and `a ? b : c`, and comments"
)

TAG_SHOWN = 200  # characters of a tag in the line that refuses it

# No `<%` within a tag: to look for the end of each of many that have none is quadratic.
_TAG = re.compile(r"<%%|(?P<open><%-?)(?P<kind>[=#]?)(?P<code>(?:(?!<%|%>).)*?)(?P<close>-?%>)", re.DOTALL)
# Code that prints nothing and sets nothing.
_REQUIRE = re.compile(r"""(?:require(?:_relative)?\s*\(?\s*(?:"[\w/.-]+"|'[\w/.-]+')\s*\)?\s*;?\s*)+""")
# What stands for a tag that cannot be read: characters that no file has, and that YAML takes for text in any value.
_MARK = re.compile("\ue000([0-9]+)\ue001")


class UnreadTag(NamedTuple):
    """A tag that pykiq does not read: as it stands in the file, and the one line that says so."""

    tag: str
    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """The text after ERB, and for each of its lines the line of the file that it came from.

    `values` are the `<%= … %>` tags that were refused, each with a mark in the text. `code` are the `<% … %>` tags,
    which have left nothing in the text.
    """

    text: str
    lines: tuple[int, ...]
    values: tuple[UnreadTag, ...] = ()
    code: tuple[UnreadTag, ...] = ()

    def refusal(self, text: str) -> str | None:
        """Why `text`, a part of the rendered text, cannot be used; None when it can."""
        mark = _MARK.search(text) if self.values else None
        return self.values[int(mark[1])].message if mark else None

    def as_written(self, text: str) -> str:
        """`text` with the refused tags themselves in place of their marks."""
        return _MARK.sub(lambda mark: self.values[int(mark[1])].tag, text) if self.values else text

    def line(self, rendered: int) -> int:
        """The file's line (from 1) behind line `rendered` (from 1) of the text."""
        return self.lines[min(rendered, len(self.lines)) - 1] if self.lines else rendered


def render(text: str, variables: Mapping[str, str], path: str, environment: str = "development") -> Rendered:
    """`text` with its ERB replaced: values are taken from `variables`, and `environment` is `Rails.env`.

    Raises:
        ConfigError: with `path:line`: a `<%` that is not closed.
    """
    text = _MARK.sub("\ufffd", text)
    pieces: list[_Piece] = []
    values: list[UnreadTag] = []
    code: list[UnreadTag] = []
    position, line = 0, 1  # the line is counted on: to count from the start for each tag is quadratic
    for tag in _TAG.finditer(text):
        before = text[position : tag.start()]
        _refuse_unclosed(before, line, path)
        if tag["open"] == "<%-":
            before = re.sub(r"(?m)^[ \t]*\Z", "", before)
        pieces.append(_Piece(before, line, literal=True))
        line += text.count("\n", position, tag.start())
        try:
            value = "<%" if tag["open"] is None else _MARK.sub("\ufffd", _value(tag, text, variables, environment))
        except _NotRead as refused:
            known = values if tag["kind"] == "=" else code
            known.append(UnreadTag(tag[0], line, f"{path}:{line}: `{_short(tag[0])}`{refused}"))
            value = f"\ue000{len(values) - 1}\ue001" if known is values else ""
        pieces.append(_Piece(value, line, literal=False))
        line += text.count("\n", tag.start(), tag.end())
        position = tag.end()
        if tag["close"] == "-%>":
            end = next((end for end in ("\n", "\r\n") if text.startswith(end, position)), "")
            position += len(end)
            line += 1 if end else 0
    _refuse_unclosed(text[position:], line, path)
    pieces.append(_Piece(text[position:], line, literal=True))
    return Rendered("".join(piece.text for piece in pieces), _lines(pieces), tuple(values), tuple(code))


def _refuse_unclosed(text: str, line: int, path: str) -> None:
    opened = text.find("<%")
    if opened >= 0:
        line += text.count("\n", 0, opened)
        raise ConfigError(f"{path}:{line}: `<%` without its `%>`; close it")


class _Piece(NamedTuple):
    text: str
    line: int  # of the file, where the piece begins
    literal: bool  # a new line in it is one in the file too


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


def _short(tag: str) -> str:
    text = " ".join(tag.split())
    return text if len(text) <= TAG_SHOWN else f"{text[: TAG_SHOWN - 4]}… %>"


class _NotRead(Exception):
    """The tag cannot be read. The text says why, and follows the tag itself."""


def _value(tag: re.Match[str], text: str, variables: Mapping[str, str], environment: str) -> str:
    code = tag["code"].strip()
    if tag["kind"] == "#" or (not tag["kind"] and (not code or re.fullmatch(r"(#[^\n]*\n?\s*)+", code))):
        return ""
    if tag["kind"] == "=" and text[text.rfind("\n", 0, tag.start()) + 1 : tag.start()].lstrip().startswith("#"):
        return ""  # inside a YAML comment nobody reads the value, whatever it is
    if tag["kind"] != "=":
        if _REQUIRE.fullmatch(code):
            return ""
        raise _NotRead(f" is Ruby code, which pykiq does not run; supported are {SUPPORTED}")
    try:
        return Evaluation(code, variables, environment).result()
    except NotSupported as refused:
        reason = f" ({refused})" if str(refused) else ""
        raise _NotRead(f" is not supported{reason}; supported are {SUPPORTED}") from None
    except LookupError as missing:
        raise _NotRead(f" needs the variable {missing.args[0]}, which is not set; set it") from None
    except ValueError as wrong:
        raise _NotRead(f": {wrong}") from None

"""Redis' glob patterns, matched in linear time. Pure.

Redis tries every place for every star, older releases one star inside of the other: `a*b*c` against one payload of
40 kB takes seconds, in which nobody else is served. Here each piece between two stars is looked for once, from where
the last one ended: as none of them is of variable length, the first place that fits is as good as any.
"""

from __future__ import annotations

import re
from functools import lru_cache


class Glob:
    """A pattern as Redis reads it: `*`, `?`, `[abc]`, `[^a-z]`, and a backslash before what means itself."""

    def __init__(self, pattern: bytes) -> None:
        pieces = [_Piece()]
        rest = pattern
        while rest:
            if rest[:1] == b"*":
                pieces.append(_Piece())
                rest = rest[1:]
            else:
                rest = pieces[-1].add(rest)
        self._pieces = [(re.compile(piece.regex, re.DOTALL), piece.length) for piece in pieces]
        self.literal = max((run for piece in pieces for run in piece.literals), key=len)
        """The longest text that each match has in it."""

    def matches(self, text: bytes) -> bool:
        """Whether all of `text` fits."""
        (first, length), (last, tail) = self._pieces[0], self._pieces[-1]
        if first.match(text) is None or len(text) < tail:
            return False
        if len(self._pieces) == 1:
            return len(text) == length
        at, end = length, len(text) - tail
        for piece, length in self._pieces[1:-1]:
            found = piece.search(text, at, end)
            if found is None:
                return False
            at = found.start() + length
        return at <= end and last.match(text, end) is not None


class _Piece:
    """What stands between two stars: of one length, whatever it matches."""

    def __init__(self) -> None:
        self.regex = b""
        self.length = 0
        self.literals = [b""]

    def add(self, rest: bytes) -> bytes:
        """Take one character's part from the beginning of `rest`; returns what is left."""
        self.length += 1
        if rest[:1] == b"?":
            self.regex += b"."
            self.literals.append(b"")
            return rest[1:]
        if rest[:1] == b"[":
            regex, left = _class(rest[1:])
            self.regex += regex
            self.literals.append(b"")
            return left
        if rest[:1] == b"\\" and len(rest) > 1:
            rest = rest[1:]
        self.regex += re.escape(rest[:1])
        self.literals[-1] += rest[:1]
        return rest[1:]


def _class(rest: bytes) -> tuple[bytes, bytes]:
    """A class of characters as a regular expression, from behind its bracket on; and what follows it."""
    negated = rest[:1] == b"^"
    at = 1 if negated else 0
    members: set[int] = set()
    while at < len(rest) and rest[at : at + 1] != b"]":
        if rest[at : at + 1] == b"\\" and at + 1 < len(rest):
            members.add(rest[at + 1])
            at += 2
        elif rest[at + 1 : at + 2] == b"-" and at + 2 < len(rest):
            low, high = sorted((rest[at], rest[at + 2]))
            members.update(range(low, high + 1))
            at += 3
        else:
            members.add(rest[at])
            at += 1
    chosen = sorted(set(range(256)) - members if negated else members)
    regex = b"[" + b"".join(b"\\x%02x" % one for one in chosen) + b"]" if chosen else b"(?!)"
    return regex, rest[at + 1 :]


def escaped(text: str) -> str:
    """`text` as a pattern that means just that text."""
    return "".join(f"\\{char}" if char in "*?[]\\" else char for char in text)


@lru_cache(maxsize=64)
def of_stars(pattern: str) -> Glob:
    """The glob of a pattern in which only `*` is special."""
    return Glob("*".join(map(escaped, pattern.split("*"))).encode("utf-8", "surrogateescape"))

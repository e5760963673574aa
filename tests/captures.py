"""Reads the captures of real Ruby Sidekiq in `compat_fixtures/`: what it was asked, what it sent, what Redis then held.

The shape of a capture is described in `compat_fixtures/MANIFEST.md`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parent.parent / "compat_fixtures"
VERSIONS = ("6.4.1", "7.3.2", "8.1.7")
JSON_VERSIONS = {"6.4.1": "2.6.1", "7.3.2": "2.9.1", "8.1.7": "3.1.0"}

_MONITOR_LINE = re.compile(r'([0-9.]+) \[(\d+) [^\]]*\] (".*)', re.DOTALL)
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BY_HAND = re.compile(r'\(raw\) (?:LPUSH|ZADD) (\S+) (?:[0-9.]+ )?"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_RUBY_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]+)\}|(.))", re.DOTALL)
_NAMED = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v"}


@dataclass(frozen=True)
class Command:
    """One command Ruby sent. `verb` is in lower case; `words` are its arguments."""

    time: float
    verb: str
    words: tuple[bytes, ...]


@dataclass(frozen=True)
class Capture:
    """One recorded case. `data` is the file as it is."""

    version: str
    name: str
    data: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.version}-{self.name}"

    @property
    def commands(self) -> list[Command]:
        """The commands Ruby sent, in order. The recorder's own are not among them."""
        lines = (_MONITOR_LINE.fullmatch(line) for line in self.data.get("commands", []))
        return [_command(line) for line in lines if line]

    @property
    def by_hand(self) -> list[tuple[str, bytes]]:
        """Key and bytes of the entries that the recorder wrote itself: no Ruby would have written some of them."""
        return [(found[1], ruby_string(found[2])) for found in _BY_HAND.finditer(self.data["ruby"])]

    def payloads(self) -> list[bytes]:
        """Every job in the capture, once: pushed, scheduled, retried, dead, waiting or being worked on."""
        found = [raw for _, raw in self.by_hand]
        for command in self.commands:
            key = command.words[0] if command.words else b""
            if command.verb in ("lpush", "rpush") and key.startswith(b"queue:"):
                found += command.words[1:]
            elif command.verb == "zadd" and key in (b"schedule", b"retry", b"dead"):
                found += command.words[2::2]
        for key, entry in self.data["redis"].items():
            if key in ("schedule", "retry", "dead") or key.startswith("queue:"):
                found += self.members(key)
            elif key.endswith((":work", ":workers")):
                found += [json.loads(work)["payload"].encode() for work in entry["value"].values()]
        return list(dict.fromkeys(found))

    def members(self, key: str) -> list[bytes]:
        """The members of a list, set or sorted set at the time of the dump; [] when there is no such key."""
        values = self.data["redis"].get(key, {"value": []})["value"]
        return [_bytes(value) for value in values]

    def scores(self, key: str) -> list[float]:
        """The scores of a sorted set, in the order of its members."""
        return [float(value["score"]) for value in self.data["redis"].get(key, {"value": []})["value"]]


@cache
def read(version: str, name: str) -> Capture:
    """The capture of that name recorded with that Sidekiq version."""
    path = FIXTURES / f"sidekiq-{version}" / f"{name}.json"
    return Capture(version, name, json.loads(path.read_text("utf-8")))


def every(pattern: str = "*") -> Iterator[Capture]:
    """All captures of all versions whose name matches a glob pattern, in a fixed order."""
    for version in VERSIONS:
        for path in sorted((FIXTURES / f"sidekiq-{version}").glob(f"{pattern}.json")):
            yield read(version, path.stem)


def float_table(json_version: str) -> list[tuple[float, str]]:
    """Doubles and the text that this version of Ruby's json gem writes for them."""
    table = json.loads((FIXTURES / f"json-{json_version}" / "float_text.json").read_text("utf-8"))
    return [(float.fromhex(double), text) for double, text in table["floats"]]


def ruby_string(inner: str) -> bytes:
    """The bytes of a Ruby string literal in double quotes, given what stands between them."""
    return b"".join(_ruby_pieces(inner))


def _ruby_pieces(inner: str) -> Iterator[bytes]:
    end = 0
    for escape in _RUBY_ESCAPE.finditer(inner):
        yield inner[end : escape.start()].encode()
        end = escape.end()
        byte, four, braced, named = escape.groups()
        if byte:
            yield bytes.fromhex(byte)
        elif four or braced:
            yield chr(int(four or braced, 16)).encode()
        else:
            yield _NAMED.get(named, named).encode()
    yield inner[end:].encode()


def _command(line: re.Match[str]) -> Command:
    words = [_monitor_word(word[1]) for word in _WORD.finditer(line[3])]
    return Command(float(line[1]), words[0].decode().lower(), tuple(words[1:]))


def _monitor_word(inner: str) -> bytes:
    def plain(escape: re.Match[str]) -> str:
        return chr(int(escape[1], 16)) if escape[1] else _NAMED.get(escape[2], escape[2])

    return _ESCAPE.sub(plain, inner).encode("latin-1")


def _bytes(value: Any) -> bytes:
    if isinstance(value, dict) and "member" in value:
        value = value["member"]
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else str(value).encode()

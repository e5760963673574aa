"""The recorded jobs: what real Ruby Sidekiqs sent to Redis, out of `compat_fixtures/`, byte for byte."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FIXTURES = Path(__file__).resolve().parents[2] / "compat_fixtures"
VERSIONS = ("6.4.1", "7.3.2", "8.1.7")
CASES = (
    "perform_async",
    "set_queue",
    "class_options",
    "namespaced_class",
    "unicode_args",
    "nested_args",
    "numbers",
    "perform_in",
    "retry_first_failure",
    "retry_zero_dead",
)

# Commands as MONITOR printed them: 1795315331.5 [8 127.0.0.1:5] "lpush" "queue:default" "{…}"
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|(.))")
_NAMED = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b"}


@dataclass(frozen=True)
class Recorded:
    """One job as Ruby pushed it. `key` is the list or sorted set, `raw` the bytes that Ruby wrote there."""

    version: str
    case: str
    ruby: str
    key: str
    raw: bytes

    @property
    def job(self) -> dict[str, object]:
        return dict(json.loads(self.raw))

    @property
    def jid(self) -> str:
        return str(self.job["jid"])


def jobs() -> Iterator[Recorded]:
    """Every case of every version, in that order."""
    for version in VERSIONS:
        for case in CASES:
            capture = json.loads((FIXTURES / f"sidekiq-{version}" / f"{case}.json").read_text("utf-8"))
            yield _first_push(version, case, capture["ruby"], capture["commands"])


def _first_push(version: str, case: str, ruby: str, commands: list[str]) -> Recorded:
    for line in commands:
        verb, *words = (_bytes(word[1]) for word in _WORD.finditer(line))
        if verb == b"lpush" and words[0].startswith(b"queue:"):
            return Recorded(version, case, ruby, words[0].decode(), words[1])
        if verb == b"zadd" and words[0] == b"schedule":
            return Recorded(version, case, ruby, "schedule", words[2])
    raise ValueError(f"sidekiq-{version}/{case}.json: Ruby pushed nothing in this capture; choose another")


def _bytes(printed: str) -> bytes:
    text = _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else _NAMED.get(m[2], m[2]), printed)
    return text.encode("latin-1")

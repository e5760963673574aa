"""The Lua scripts, and one round trip for any number of calls to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any

import redis
from redis.exceptions import NoScriptError

from pykiq.store.roundtrip import round_trip


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text and the SHA-1 by which Redis knows it."""

    name: str
    text: str
    sha: str


@cache
def script(name: str) -> Script:
    """The script in `lua/<name>.lua`."""
    text = files("pykiq.store").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
    return Script(name, text, sha1(text.encode(), usedforsecurity=False).hexdigest())


@dataclass(frozen=True, slots=True)
class Call:
    """One run of a script: every key it touches is in `keys`."""

    script: Script
    keys: Sequence[str | bytes]
    args: Sequence[Any]


def run(client: redis.Redis, call: Call) -> Any:
    """Run one script and return its answer; raise its error."""
    answer = send(client, [call])[0]
    if isinstance(answer, Exception):
        raise answer
    return answer


def send(client: redis.Redis, calls: Sequence[Call]) -> list[Any]:
    """Run `calls` in order in one round trip and return their answers; a script that failed has its error as answer.

    A script that the server does not know yet (a new server, a fail-over, SCRIPT FLUSH) is sent in full and run again;
    calls that did run are not repeated.

    Raises:
        redis.RedisError: no answer; which of the calls ran is then unknown.
    """
    answers = _send(client, calls)
    unknown = [number for number, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    if unknown:
        for text in {calls[number].script.text for number in unknown}:
            client.script_load(text)
        for number, answer in zip(unknown, _send(client, [calls[number] for number in unknown]), strict=True):
            answers[number] = answer
    return answers


def _send(client: redis.Redis, calls: Sequence[Call]) -> list[Any]:
    return round_trip(client, [("EVALSHA", call.script.sha, len(call.keys), *call.keys, *call.args) for call in calls])

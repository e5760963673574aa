"""The Lua scripts, and one round trip for any number of calls to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import islice
from typing import Any

import redis
from redis.exceptions import NoScriptError

from pykiq.store.demotion import once_more
from pykiq.store.roundtrip import Command, round_trip


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text and the SHA-1 by which Redis knows it."""

    name: str
    text: str
    sha: str


def _read(file: Traversable) -> Script:
    text = file.read_text(encoding="utf-8")
    return Script(file.name.removesuffix(".lua"), text, sha1(text.encode(), usedforsecurity=False).hexdigest())


# All of them, now: they are 20 kB. When each was read at its first use, a release that was removed under its running
# workers stopped takeovers, and so did a process without a free descriptor.
_SCRIPTS = {one.name: one for one in map(_read, files("pykiq.store").joinpath("lua").iterdir())}


def script(name: str) -> Script:
    """The script in `lua/<name>.lua`."""
    return _SCRIPTS[name]


@dataclass(frozen=True, slots=True)
class Call:
    """One run of a script: every key it touches is in `keys`.

    `before` are commands that need no script and run ahead of it: Redis copies an argument of a script three times. The
    answer of such a call is one list, theirs first; without a script it is theirs alone.
    """

    script: Script | None
    keys: Sequence[str | bytes]
    args: Sequence[Any]
    before: Sequence[Command] = ()


def run(client: redis.Redis, call: Call, *, again: bool = True) -> Any:
    """Run one script and return its answer; raise its error.

    What a server refuses because it is no master is run once more, on a new connection, unless `again` is False.
    """

    def answer() -> Any:
        answer = send(client, [call])[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return once_more(answer) if again else answer()


def send(client: redis.Redis, calls: Sequence[Call]) -> list[Any]:
    """Run `calls` in order in one round trip and return their answers; a call that failed has its error as answer.

    A script that the server does not know yet (a new server, a fail-over, SCRIPT FLUSH) is sent in full and run again;
    what did run is not repeated.

    Raises:
        redis.RedisError: no answer; which of the calls ran is then unknown.
    """
    answers = iter(round_trip(client, [command for call in calls for command in (*call.before, *_evaluation(call))]))
    before: list[list[Any]] = []
    results: list[Any] = []
    for call in calls:
        before.append(list(islice(answers, len(call.before))))
        results.append(next(answers) if call.script else [])
    unknown = [number for number, result in enumerate(results) if isinstance(result, NoScriptError)]
    if unknown:
        for text in {script.text for number in unknown if (script := calls[number].script)}:
            client.script_load(text)
        again = round_trip(client, [command for number in unknown for command in _evaluation(calls[number])])
        for number, result in zip(unknown, again, strict=True):
            results[number] = result
    return [_joined(first, result) if first else result for first, result in zip(before, results, strict=True)]


def _evaluation(call: Call) -> list[Command]:
    return [("EVALSHA", call.script.sha, len(call.keys), *call.keys, *call.args)] if call.script else []


def _joined(before: list[Any], result: Any) -> Any:
    refused = next((answer for answer in (*before, result) if isinstance(answer, Exception)), None)
    return [*before, *result] if refused is None else refused

"""The options of a job that is pushed from a shell: those of its handler, and the flags above them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pykiq.cli.output import say
from pykiq.config.settings import SLIP, did_you_mean, shown
from pykiq.errors import ConfigError, PayloadError, SignatureMismatch, Unreadable
from pykiq.jobs.declare import envelope_of
from pykiq.jobs.handler import Handler
from pykiq.jobs.options import checked_for_push
from pykiq.jobs.registry import registry
from pykiq.wire.exactjson import loads

if TYPE_CHECKING:
    from pykiq.client.envelope import Envelope

DIGITS = 9  # of a number of retries; int() itself gives up on thousands of them
_OWN_WAY = {"class": "CLASS", "args": "JSON-ARGS", "at": "--at or --in"}
_JSON_BEGINS = ('"', "[", "{")


class Pushed(NamedTuple):
    """A class as a push needs it: what its handler was declared with."""

    job_name: str
    job_options: Mapping[str, Any]
    job_envelope: Envelope | None


def class_of(name: str) -> tuple[str | Pushed, Callable[[Sequence[Any]], None]]:
    """What to push for a class, and what looks at its arguments: raises PayloadError for those it cannot take.

    A class without a handler here is pushed by its name; one that looks like a slip of the finger is warned of.
    """
    handler = registry.get(name)
    if handler is None:
        near = did_you_mean(name, registry.names(), cutoff=SLIP)
        if near:
            say(f"pykiq: no handler that was loaded is called {name}{near} It is pushed as it is", err=True)
        return name, lambda args: None
    is_active_job = handler.active_job is not None
    pushed = Pushed(handler.name, handler.options, envelope_of(handler.active_job))
    return pushed, lambda args: None if is_active_job else _check(handler, args)


def _check(handler: Handler, args: Sequence[Any]) -> None:
    try:
        handler.check(args)
    except SignatureMismatch as error:
        raise PayloadError(str(error)) from None


def options_of(
    queue: str | None, retry: str | None, pairs: Iterable[str], *, runs_here: bool = False
) -> dict[str, Any]:
    """The options of `--queue`, `--retry` and `--set`, checked as `set(…)` checks them.

    `runs_here` is True for a class with a handler here: what only Ruby's gems heed means nothing to it.

    Raises ConfigError for what is no option, and PayloadError for a value that it cannot have.
    """
    given: dict[str, Any] = {} if queue is None else {"queue": queue}
    if retry is not None:
        given["retry"] = retry_of(retry)
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key:
            raise ConfigError(f"--set is {shown(pair)}; expected KEY=VALUE, such as timeout=30 or 'tags=[\"vip\"]'")
        if key in _OWN_WAY:
            raise ConfigError(f"--set is {shown(pair)}; the job's {key} is given as {_OWN_WAY[key]}")
        if key in given:
            raise ConfigError(f"the option {key} is given twice; expected it once")
        given[key] = _value(key, text)
    jid = {"jid": given.pop("jid")} if "jid" in given else {}
    if not all(isinstance(one, str) and one for one in jid.values()):
        raise ConfigError(f"--set jid is {shown(str(jid['jid'])[:80])}; expected text; a number goes as jid='\"5\"'")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        options = checked_for_push(given, runs_here=runs_here)
    for warning in caught:
        say(f"pykiq: {warning.message}", err=True)
    return {**options, **jid}


def retry_of(text: str) -> bool | int:
    """The value of `--retry`. Raises ConfigError."""
    if text in ("true", "false"):
        return text == "true"
    if text.isascii() and text.isdecimal() and len(text) <= DIGITS:
        return int(text)
    raise ConfigError(f"--retry is {shown(text)}; expected true, false or how many times to retry")


def _value(key: str, text: str) -> Any:
    """JSON, or else the text as it is. Raises ConfigError for what begins like JSON and is none."""
    try:
        return loads(text.encode("utf-8", "surrogateescape"))
    except Unreadable as error:
        if text.lstrip().startswith(_JSON_BEGINS):
            reason = str(error).partition(": ")[2] or str(error)
            raise ConfigError(f"--set {key} is {shown(text)}, which is not JSON ({reason})") from None
        return text

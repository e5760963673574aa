"""What a push carries on: the context of the job that runs here, and what `pykiq.carry` has set on top of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Protocol

from pykiq.errors import PayloadError
from pykiq.wire import carried
from pykiq.wire.arguments import check_arguments


class HasPayload(Protocol):
    """What is known here of a running job."""

    @property
    def payload(self) -> Mapping[str, Any]: ...


running: ContextVar[HasPayload] = ContextVar("pykiq_current_job")
"""The job that runs in this thread or task: `jobs.context` sets it, a push reads it. Nothing else is done per job."""

_set: ContextVar[Mapping[str, Any]] = ContextVar("pykiq_carried")
_NOTHING: Mapping[str, Any] = {}

left_to_others: set[str] = set()
"""Keys that are not passed on from a running job, because a middleware writes its own: tracing does."""

NEVER = frozenset({
    "class", "args", "jid", "queue", "at", "created_at", "enqueued_at", "failed_at", "retried_at", "retry_count",
    "error_class", "error_message", "error_backtrace", "discarded_at", "wrapped", "display_class",
})  # fmt: skip
"""Keys that make a job what it is and say nothing about who pushed it."""


def here() -> dict[str, Any]:
    """The keys that a job pushed here and now gets, unless it has its own."""
    keys: dict[str, Any] = {}
    job = running.get(None)
    if job is not None:
        keys = {name: value for name, value in carried.of(job.payload).items() if name not in left_to_others}
    for name, value in _set.get(_NOTHING).items():
        if value is None:
            keys.pop(name, None)
        else:
            keys[name] = value
    return keys


def carry(**keys: Any) -> Carrying:
    """Put context on every job that is pushed from here on: in this thread, or in this task and those it starts.

        pykiq.carry(locale="fr", cattr={"user_id": 7})          # for the rest of this request
        with pykiq.carry(locale="fr"):                          # only inside the block
            ReportJob.perform_async(1)

    The keywords are keys of the payload. `locale` is what Sidekiq's I18n middleware reads, `cattr` what
    CurrentAttributes of Rails read (`cattr_1` for their second class, and so on): a dict of attributes with values that
    are JSON. Any other key is kept on the payload for whoever looks for it. A key that a job has by itself is not
    touched; inside a handler these come on top of what its job carries, and None stops carrying a key.
    Raises PayloadError for what cannot be carried.
    """
    for name, value in keys.items():
        _check(name, value)
    return Carrying(_set.set({**_set.get(_NOTHING), **keys}))


class Carrying:
    """What `carry` has set. As a context manager it is taken back at the end of the block."""

    __slots__ = ("_token",)

    def __init__(self, token: Token[Mapping[str, Any]]) -> None:
        self._token = token

    def __enter__(self) -> None:
        """Nothing: it is set already."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _set.reset(self._token)


def _check(name: str, value: Any) -> None:
    if name in NEVER:
        raise PayloadError(f"`{name}` belongs to one job and cannot be carried to others; give it to the push")
    if value is None:
        return
    if name == carried.LOCALE and not isinstance(value, str):
        raise PayloadError(f"`locale` is {value!r:.80}; expected the name of a locale, such as 'fr'")
    if (name == carried.ATTRIBUTES or name.startswith("cattr_")) and not isinstance(value, Mapping):
        raise PayloadError(f"`{name}` is {value!r:.80}; expected a dict of attributes, such as {{'user_id': 7}}")
    try:
        check_arguments([value])
    except PayloadError as error:
        raise PayloadError(str(error).replace("args[0]", name, 1)) from None

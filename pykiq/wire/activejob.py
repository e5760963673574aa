"""ActiveJob's envelope: the payload around a job of Rails, and the job data inside (WIRE.md §15.1, §15.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pykiq.wire.dialect import Dialect, is_number

WRAPPER = "ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper"
WRAPPER_OF_8 = "Sidekiq::ActiveJob::Wrapper"  # since 7.3.3; older ones do not know it
WRAPPERS = frozenset({WRAPPER, WRAPPER_OF_8})

_RAILS_OWN = "_aj_"
_GLOBALID = "_aj_globalid"
_WHOLE_SECONDS = re.compile(r"\d\d:\d\d:\d\dZ?\Z")


def wrapper(dialect: Dialect) -> str:
    """The class of the payload around an ActiveJob."""
    return WRAPPER_OF_8 if dialect.major >= 8 else WRAPPER


def job_data(payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The job data in a wrapper's payload, None when there is none."""
    args = payload.get("args")
    data = args[0] if isinstance(args, list) and len(args) == 1 else None
    return data if isinstance(data, dict) else None


def legible(value: Any) -> Any:
    """An encoded argument as Sidekiq's Web UI shows it: a GlobalID by its address, and without the keys of Rails' own.

    Observed in 7.3.2 and 8.1.7; 6.4.1 shows everything.
    """
    if isinstance(value, list):
        return [legible(one) for one in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and _GLOBALID in value:
        return value[_GLOBALID]
    return {key: legible(one) for key, one in value.items() if not key.startswith(_RAILS_OWN)}


def wrapped_class(payload: Mapping[str, Any]) -> str | None:
    """The class that Rails runs for a wrapper's payload, without a leading `::`; None when none is named.

    That is `job_class` of the job data. `wrapped` says the same, for those who only look; capture aj_minimal_job_data
    has none.
    """
    data = job_data(payload) or {}
    for name in (data.get("job_class"), payload.get("wrapped")):
        if isinstance(name, str) and name.removeprefix("::"):
            return name.removeprefix("::")
    return None


def options_first(
    name: str, data: Mapping[str, Any], options: Mapping[str, Any], dialect: Dialect, *, bulk: bool = False
) -> dict[str, Any]:
    """A job to push, with its keys where the adapters write them: captures aj_plain, aj_perform_all_later."""
    body = {"class": wrapper(dialect), "wrapped": name, "args": [data]}
    if not bulk and dialect.major >= 7:
        body["class"] = body.pop("class")
    return {**options, **body}


def fresh(
    name: str,
    arguments: list[Any],
    *,
    job_id: str,
    queue: str,
    priority: int | None,
    now: float,
    at: float | None,
    locale: str | None,
    timezone: str | None,
    dialect: Dialect,
) -> dict[str, Any]:
    """The job data of a first enqueue; `arguments` are encoded already. `now` and `at` are epoch seconds.

    Rails takes its own default for a `locale` and a `timezone` (by Rails' name, such as `Paris`) of None.
    """
    data: dict[str, Any] = {
        "job_class": name,
        "job_id": job_id,
        "provider_job_id": None,
        "queue_name": queue,
        "priority": priority,
        "arguments": arguments,
        "executions": 0,
        "exception_executions": {},
        "locale": locale,
        "timezone": timezone,
        "enqueued_at": stamp(now, whole=dialect.rails == "6.1"),
    }
    if dialect.rails != "6.1":
        data["scheduled_at"] = None if at is None else stamp(at, whole=False)
    return data


def again(
    data: Mapping[str, Any],
    *,
    jid: str,
    executions: int,
    exception_executions: Mapping[str, int] | None,
    queue: str,
    priority: Any,
    now: float,
    at: float | None,
) -> dict[str, Any]:
    """The job data of a re-enqueue by `retry_on` (WIRE.md §15.4), in the format of the Rails that wrote it.

    `jid` is that of the execution that failed. The arguments are the ones that came, not what a handler made of them.
    """
    enqueued_at = data.get("enqueued_at")
    whole = isinstance(enqueued_at, str) and _WHOLE_SECONDS.search(enqueued_at) is not None
    retried = {
        **data,
        "provider_job_id": jid,
        "queue_name": queue,
        "priority": priority,
        "executions": executions,
        "exception_executions": exception_executions,
        "enqueued_at": stamp(now, whole=whole),
    }
    if not whole:
        retried["scheduled_at"] = None if at is None else stamp(at, whole=False)
    return retried


def stamp(seconds: float, *, whole: bool) -> str:
    """Epoch seconds as `enqueued_at` and `scheduled_at`: nine digits since Rails 7, `whole` seconds before."""
    nanoseconds = round(seconds * 1_000_000_000)
    face = datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{face}Z" if whole else f"{face}.{nanoseconds % 1_000_000_000:09}Z"


def count(value: object) -> int:
    """A counter of the job data; 0 for none, as Rails reads it, and for anything that is no number."""
    return int(value) if is_number(value) else 0

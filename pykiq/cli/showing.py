"""Jobs on the screen and as JSON: one line each, or one job with all that it says."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from pykiq.admin import JobRecord, SortedEntry
from pykiq.cli.output import escaped_json, printable, say, strict_json
from pykiq.cli.table import Column, output_width, span, table
from pykiq.errors import PykiqError
from pykiq.wire.exactjson import dumps

ROWS = 100  # rows of a table unless --limit says otherwise


def show(
    jobs: Iterable[JobRecord], columns: Sequence[Column], row: Any, *, limit: int | None, as_json: bool, empty: str
) -> None:
    """Print jobs as a table of at most `limit` rows, or a line of JSON each; `row` makes the cells of one."""
    if as_json:
        for job in islice(jobs, limit):
            say(line(job))
        return
    most = ROWS if limit is None else limit
    found = list(islice(jobs, most + 1))
    if not found:
        say(empty, err=True)
        return
    say(table(columns, [row(job) for job in found[:most]], output_width()))
    if len(found) > most:
        say(f"and more; --limit shows more than {most}", err=True)


def line(job: JobRecord) -> str:
    """A job as one line of JSON: where it is, what it is called, and its payload as it is in Redis.

    `job` is null for bytes that are not a job; `raw` has them as text. A score that is infinite is a text, `"inf"`.
    """
    head: dict[str, Any] = {"jid": job.jid, "class": job.display_class, "queue": job.queue}
    if isinstance(job, SortedEntry):
        head |= {"set": job.parent.name, "score": job.score, "at": job.at.isoformat() if job.at else None}
    text = job.raw.decode("utf-8", "replace")
    if not job.item:
        return strict_json({**head, "job": None, "raw": text})
    # Spliced, not written again: its numbers stay as they are, of whatever size.
    return f'{strict_json(head)[:-1]}, "job": {escaped_json(text)}}}'


def args(job: JobRecord) -> str:
    """The arguments as JSON, without the brackets around them."""
    if not job.item:
        return job.raw.decode("utf-8", "replace")
    try:
        return dumps(job.display_args).decode("utf-8", "replace")[1:-1]
    except PykiqError:  # `1e400` is infinite
        return strict_json(job.display_args)[1:-1]


def count(value: object) -> str:
    """A counter of a payload, whatever it is; of a huge one how many digits it has."""
    if value is None:
        return "0"
    if isinstance(value, int) and value.bit_length() > 64:
        return f"{int(value.bit_length() * 0.30103) + 1:,} digits"
    return value if isinstance(value, str) else strict_json(value)


def error(job: JobRecord) -> str:
    """Class and message; of `app.billing.errors.CardError` what one looks for, its last part."""
    return f"{job.error_class.rpartition('.')[2]}: {job.error_message}" if job.error_class else ""


def ago(seconds: float | None, now: float) -> str:
    """How long before now a moment is, `in …` when it is still to come; empty when there is none.

    A score may be infinite: `inf` is never due, `-inf` always.
    """
    if seconds is None:
        return ""
    if not math.isfinite(seconds):
        return str(float(seconds))
    return f"in {span(seconds - now)}" if seconds > now else span(now - seconds)


def moment(at: datetime, now: float) -> str:
    """A moment as such and as how long ago it was, or how long it is until then."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC ({ago(at.timestamp(), now)})"


def details(job: JobRecord, above: Sequence[tuple[str, str]] = (), backtrace: Sequence[str] | None = None) -> str:
    """Everything a job says, one key a line, below the rows of `above`; last its backtrace, or what is given for it."""
    now = time.time()
    rows: list[tuple[str, str]] = [*above, ("class", job.display_class), ("args", args(job))]
    if isinstance(job, SortedEntry) and job.at:
        rows.append((job.parent.name, moment(job.at, now)))
    elif isinstance(job, SortedEntry):
        rows.append((job.parent.name, f"{job.score:g}"))  # no calendar has it
    for name in ("created_at", "enqueued_at", "failed_at", "retried_at"):
        at = getattr(job, name)
        if at is not None:
            rows.append((name, moment(at, now)))
    told = {"class", "args", "created_at", "enqueued_at", "failed_at", "retried_at", "error_backtrace"}
    for key, value in job.item.items():
        if key not in told:
            rows.append((key, value if isinstance(value, str) else dumps(value).decode("utf-8", "replace")))
    width = max(len(printable(name)) for name, _ in rows)
    lines = [f"{printable(name):<{width}}  {printable(text)}" for name, text in rows]
    return "\n".join(lines + [f"{'':<{width}}  {printable(one)}" for one in backtrace or job.error_backtrace or []])

"""One frame of `pykiq top`: from two looks at the fleet to lines of text. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pykiq.admin import Process, Work
from pykiq.cli.fleet import process_table, told_by, work_table
from pykiq.cli.output import printable
from pykiq.cli.queues import queue_table
from pykiq.cli.table import cut, span
from pykiq.store.stats import Stats

KEYS = "q quit"


class Look(NamedTuple):
    """The fleet at one moment (epoch seconds); `replica` tells that no master has shown it."""

    at: float
    stats: Stats
    processes: Sequence[Process]
    works: Sequence[Work]
    replica: bool = False


class Rates(NamedTuple):
    """What has changed per second between two looks; None before the second one."""

    processed: float | None = None
    failed: float | None = None
    enqueued: float | None = None


def rates(before: Look | None, now: Look) -> Rates:
    """The rates between two looks. Counters come in at each heartbeat, so they are jerky below ten seconds."""
    passed = 0.0 if before is None else now.at - before.at
    if before is None or passed <= 0:
        return Rates()
    old, new = before.stats, now.stats
    return Rates(
        max(0, new.processed - old.processed) / passed,
        max(0, new.failed - old.failed) / passed,
        (new.enqueued - old.enqueued) / passed,
    )


def frame(now: Look, changed: Rates, *, width: int, height: int, place: str) -> list[str]:
    """Exactly `height` lines of at most `width` columns: totals, processes, queues, and as many jobs as fit.

    `place` says where this is, for the first line.
    """
    head = [*_totals(now, changed, place), ""]
    parts = [
        _part("queues", queue_table(now.stats.queues, width), len(now.stats.queues)),
        _part("processes", process_table(now.processes, now.at, width), len(now.processes)),
        _part("busy", work_table(now.works, now.at, width), len(now.works)),
    ]
    lines = head + _fitted(parts, height - len(head) - 1)
    lines += [""] * (height - len(lines) - 1)
    return [cut(printable(line), width) for line in [*lines[: height - 1], KEYS]]


def _totals(now: Look, changed: Rates, place: str) -> list[str]:
    stats = now.stats
    concurrency = sum(process.concurrency for process in now.processes)
    oldest = max((queue.latency for queue in stats.queues), default=0.0)
    enqueued = f"enqueued {stats.enqueued:,}{_rate(changed.enqueued, signed=True)}  oldest {span(oldest)}"
    in_flight = f"in flight {stats.in_flight:,}" + (f" ({stats.orphaned:,} orphaned)" if stats.orphaned else "")
    told = f"  {told_by(now.processes, now.at)}".rstrip()
    return [
        f"pykiq top  {place}",
        f"processed {stats.processed:,}{_rate(changed.processed)}  failed {stats.failed:,}{_rate(changed.failed)}",
        f"{enqueued}  retries {stats.retries:,}  scheduled {stats.scheduled:,}  dead {stats.dead:,}",
        f"busy {stats.busy:,} of {concurrency:,}  {in_flight}  processes {stats.processes:,}{told}",
    ]


def _rate(per_second: float | None, *, signed: bool = False) -> str:
    if per_second is None:
        return ""
    return f" ({per_second:{'+' if signed else ''},.1f}/s)"


def _part(name: str, text: str, count: int) -> list[str]:
    """A table's lines; one that says so when there is nothing in it."""
    return text.splitlines() if count else [f"no {name}" if name != "busy" else "nothing runs"]


def _fitted(parts: Sequence[list[str]], room: int) -> list[str]:
    """The tables one below the other in `room` lines: each has its fair share, and what one leaves goes to the next."""
    lines: list[str] = []
    for index, part in enumerate(parts):
        left = len(parts) - index
        share = (room - len(lines) - (left - 1)) // left if index < len(parts) - 1 else room - len(lines)
        if share < 2:
            break
        lines += part if len(part) <= share else [*part[: share - 1], f"… {len(part) - share + 1:,} more"]
        lines.append("")
    return lines[:-1]

"""Changing entries of a sorted set, one or millions: each leaves its place and arrives at the next in one step.

Ruby takes an entry out first and writes it elsewhere afterwards; what happens in between loses it. Here its new bytes
are made first, and the script that writes them does so only if the entry was still there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from pykiq.admin.access import Access
from pykiq.errors import PayloadError
from pykiq.store import due
from pykiq.store.due import Move, Moved
from pykiq.wire.dialect import seconds

if TYPE_CHECKING:
    from pykiq.admin.entries import SortedEntry

BATCH = 100  # entries of one step

Plan = Callable[["SortedEntry", float], Move]
"""What shall become of an entry, now (epoch seconds). Raises when that cannot be: the entry stays."""


class Change(NamedTuple):
    """What became of one entry: `done`, or not done because it had gone (`error` is None) or for the reason `error`."""

    entry: SortedEntry
    done: bool
    error: Exception | None = None


def carry_out(access: Access, key: str, entries: Iterable[SortedEntry], plan: Plan) -> Iterator[Change]:
    """Carry out `plan` for each of `entries`, lazily, and tell what became of it. Raises redis.RedisError."""
    rest = iter(entries)
    while batch := list(islice(rest, BATCH)):
        now = time.time()
        moves: list[tuple[SortedEntry, Move]] = []
        for entry in batch:
            try:
                moves.append((entry, plan(entry, now)))
            except Exception as error:  # of its payload, or of a middleware: the others go on
                yield Change(entry, False, error)
        if not moves:
            continue
        answers = due.move(access.redis, key, [move for _, move in moves], now, access.config, rest=None)
        for (entry, move), answer in zip(moves, answers, strict=True):
            yield Change(entry, answer is Moved.DONE, _refused(move) if answer is Moved.REFUSED else None)


def once(entries: Iterable[SortedEntry]) -> Iterator[SortedEntry]:
    """`entries` without those that were enqueued since this began, by the clocks of those who did.

    A job that is retried and fails at once is back in the set before a long walk is over; it is not tried again then.
    """
    began = time.time()
    return (entry for entry in entries if (seconds(entry["enqueued_at"]) or 0.0) < began)


def only(changes: Iterator[Change]) -> bool:
    """Whether the one change was done. Raises its error."""
    (change,) = changes
    if change.error is not None:
        raise change.error
    return change.done


def _refused(move: Move) -> PayloadError:
    place = {"push": f"queue:{move.queue}", "dead": "dead", "schedule": "schedule"}.get(move.kind, "the set")
    return PayloadError(f"Redis refused the job: is {place} a key of another type? It stays where it was")

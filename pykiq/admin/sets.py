"""The sorted sets: jobs that are due later, jobs that will be tried again, jobs that will not."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar

from pykiq.admin.access import Access
from pykiq.admin.changes import Change, carry_out, once
from pykiq.admin.entries import SortedEntry
from pykiq.client.repush import repushed
from pykiq.client.sync import Client
from pykiq.client.times import number
from pykiq.errors import Kill, Unreadable
from pykiq.jobs.lifecycle import lifecycle
from pykiq.store import sets
from pykiq.store.due import Move
from pykiq.wire import keys, payload
from pykiq.wire.dialect import is_number
from pykiq.wire.exactjson import dumps
from pykiq.wire.glob import escaped


class JobSet:
    """One of the sets. Iterating goes from the highest score down, as in Ruby; `reversed(…)` from the lowest up.

    Both are lazy and see every entry that is there all the time exactly once, whatever is added and removed meanwhile.
    The methods that end in `_each` change the entries they are given, lazily: nothing happens until what they return
    is iterated, and every Change tells what became of its entry. Those that end in `_all` take the whole set.
    """

    name: ClassVar[str]

    def __init__(self, client: Client | None = None) -> None:
        self.access = Access(client)

    @property
    def size(self) -> int:
        return sets.size(self.access.redis, self.name)

    def __len__(self) -> int:
        return self.size

    def __bool__(self) -> bool:
        return True  # an empty set is still a set

    def __iter__(self) -> Iterator[SortedEntry]:
        return self._entries(up=False)

    def __reversed__(self) -> Iterator[SortedEntry]:
        return self._entries(up=True)

    def _entries(self, *, up: bool) -> Iterator[SortedEntry]:
        for page in sets.pages(self.access.redis, self.name, up=up):
            yield from map(self._entry, page)

    def _entry(self, found: sets.Entry) -> SortedEntry:
        return SortedEntry(self, found.member, found.score)

    def scan(self, match: str, count: int = 100) -> Iterator[SortedEntry]:
        """The entries whose bytes contain `match`, or match it as one of Redis' globs if there is a `*` in it.

        Redis looks for the longest text in it, the rest is looked at here. In no order, and one may come twice. `count`
        is how many Redis looks at in one go, fewer of large ones.
        """
        pattern = match if "*" in match else f"*{escaped(match)}*"
        return map(self._entry, sets.scan(self.access.redis, self.name, pattern, count=count))

    def fetch(self, score: float | datetime, jid: str | None = None) -> list[SortedEntry]:
        """The entries of exactly that score, an infinite one too, or of those the one with that `jid`."""
        at = score if isinstance(score, float) and math.isinf(score) else float(number(score, "score"))
        found = map(self._entry, sets.with_score(self.access.redis, self.name, at, at))
        return [entry for entry in found if jid is None or entry.jid == jid]

    def find_job(self, jid: str) -> SortedEntry | None:
        """The entry with that jid, or None. Redis looks through the whole set."""
        found = sets.scan(self.access.redis, self.name, f"*{escaped(jid)}*")
        return next((entry for entry in map(self._entry, found) if entry.jid == jid), None)

    def schedule(self, at: float | datetime, item: Mapping[str, Any]) -> None:
        """Put a payload in as it is, without middleware. To push a job for later, use `perform_at`."""
        job = dict(item)
        sets.add(self.access.redis, self.name, float(number(at)), dumps(job, self.access.dialect(job)))

    def clear(self) -> None:
        """Remove every entry."""
        sets.clear(self.access.redis, self.name)

    def delete_each(self, entries: Iterable[SortedEntry]) -> Iterator[Change]:
        """Remove entries."""
        return carry_out(self.access, self.name, entries, lambda entry, now: Move("drop", entry.raw))

    def reschedule_each(self, entries: Iterable[SortedEntry], at: datetime | float) -> Iterator[Change]:
        """Make entries due at that moment. Raises PayloadError for one that is none."""
        moment = float(number(at))
        return carry_out(
            *(self.access, self.name, entries), lambda entry, now: Move("later", entry.raw, entry=entry.raw, at=moment)
        )

    def add_to_queue_each(self, entries: Iterable[SortedEntry]) -> Iterator[Change]:
        """Push entries now, each through the client middleware."""
        return carry_out(self.access, self.name, entries, self._push)

    def retry_each(self, entries: Iterable[SortedEntry]) -> Iterator[Change]:
        """Push entries now; this try does not count."""
        return carry_out(self.access, self.name, entries, self._retry)

    def kill_each(self, entries: Iterable[SortedEntry], *, notify: bool = True) -> Iterator[Change]:
        """Move entries to `dead`; with `notify` this program's death handlers hear of each."""
        changes = carry_out(
            *(self.access, self.name, entries), lambda entry, now: Move("dead", entry.raw, entry=entry.raw)
        )
        for change in changes:
            if change.done and notify:
                lifecycle.fire_death(change.entry.item, Kill("killed by an administrator"))
            yield change

    def retry_all(self) -> int:
        """Push everything now, and return how many that were. What cannot be pushed stays."""
        return sum(change.done for change in self.retry_each(once(self)))

    def kill_all(self, *, notify: bool = True) -> int:
        """Move everything to `dead`, and return how many that were."""
        return sum(change.done for change in self.kill_each(self, notify=notify))

    def _push(self, entry: SortedEntry, now: float) -> Move:
        job = payload.parse(entry.raw)
        return repushed(entry.raw, job, self.access.client.middleware, self.access.dialect, now)

    def _retry(self, entry: SortedEntry, now: float) -> Move:
        job = payload.parse(entry.raw)
        if is_number(job.get("retry_count")):
            job["retry_count"] -= 1
        return repushed(entry.raw, job, self.access.client.middleware, self.access.dialect, now)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class ScheduledSet(JobSet):
    """Jobs pushed for later (`schedule`), by when they are due."""

    name = keys.SCHEDULE


class RetrySet(JobSet):
    """Jobs that have failed and will be tried again (`retry`), by when."""

    name = keys.RETRY


class DeadSet(JobSet):
    """Jobs that will not be tried again (`dead`), by when they died."""

    name = keys.DEAD

    def kill(self, raw: bytes | str, *, notify: bool = True) -> None:
        """Put a payload in, as the bytes given, and trim the set (WIRE.md §8c).

        With `notify` this program's death handlers hear of it, unless the bytes are no job.
        """
        member = raw.encode("utf-8", "surrogateescape") if isinstance(raw, str) else raw
        sets.bury(self.access.redis, member, time.time(), self.access.config)
        if notify:
            try:
                job = payload.parse(member)
            except Unreadable:
                return
            lifecycle.fire_death(job, Kill("killed by an administrator"))

    def trim(self) -> None:
        """Drop what is older than `dead_timeout`, and the oldest beyond `dead_max_jobs`."""
        sets.trim_dead(self.access.redis, time.time(), self.access.config)

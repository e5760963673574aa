"""The dashboard's numbers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, date, datetime

from pykiq.admin.access import Access
from pykiq.client.sync import Client
from pykiq.errors import ConfigError
from pykiq.store import queues, stats
from pykiq.store.stats import QueueStats

TOTALS = ("processed", "failed")
LONGEST_HISTORY = 5 * 365  # days that Redis keeps the counts


class Stats:
    """The numbers at one moment, that of its making; make another one for newer numbers."""

    def __init__(self, client: Client | None = None) -> None:
        self._access = Access(client)
        self._numbers = stats.read(self._access.redis, time.time())

    @property
    def processed(self) -> int:
        """Jobs executed since the counters were reset, failures included."""
        return self._numbers.processed

    @property
    def failed(self) -> int:
        return self._numbers.failed

    @property
    def enqueued(self) -> int:
        """Jobs that wait in all queues."""
        return self._numbers.enqueued

    @property
    def scheduled_size(self) -> int:
        return self._numbers.scheduled

    @property
    def retry_size(self) -> int:
        return self._numbers.retries

    @property
    def dead_size(self) -> int:
        return self._numbers.dead

    @property
    def processes_size(self) -> int:
        """Processes that live."""
        return self._numbers.processes

    @property
    def workers_size(self) -> int:
        """Jobs that run now."""
        return self._numbers.busy

    @property
    def unreadable(self) -> tuple[str, ...]:
        """The keys of another type than they should be, whose numbers are 0 here."""
        return self._numbers.unreadable

    @property
    def in_flight_size(self) -> int:
        """Jobs that pykiq's processes have claimed and not settled yet. Ruby has no such number."""
        return self._numbers.in_flight

    @property
    def orphaned_size(self) -> int:
        """Those of them whose process is gone: another process takes them over within seconds."""
        return self._numbers.orphaned

    @property
    def default_queue_latency(self) -> float:
        """Seconds that the next job of the queue `default` has waited."""
        return stats.latency(queues.oldest(self._access.redis, "default"), time.time())

    @property
    def queues(self) -> Mapping[str, int]:
        """Queue → size, the longest first."""
        return {one.name: one.size for one in sorted(self._numbers.queues, key=lambda one: -one.size)}

    @property
    def queue_summaries(self) -> list[QueueStats]:
        """`name`, `size`, `latency` (seconds) and `paused` of every queue, the longest first."""
        return sorted(self._numbers.queues, key=lambda one: -one.size)

    def history(self, days: int, last: date | None = None) -> Mapping[date, tuple[int, int]]:
        """Jobs processed and failed per UTC day, for `days` days up to `last` (today), the latest first.

        Ruby's `Stats::History`. Raises ConfigError for a number of days that Redis does not keep.
        """
        if not 1 <= days <= LONGEST_HISTORY:
            raise ConfigError(f"history was asked for {days} days; expected 1 to {LONGEST_HISTORY}")
        counted = stats.history(self._access.redis, days, last or datetime.now(UTC).date())
        return {day: (processed, failed) for day, processed, failed in counted}

    def reset(self, *names: str) -> None:
        """Set `processed` and `failed`, or the one named, to 0. Raises ConfigError for another name."""
        for name in names:
            if name not in TOTALS:
                raise ConfigError(f"reset was given {name!r}; expected processed or failed")
        stats.reset(self._access.redis, names or TOTALS)

"""The metrics of one process: jobs by class, queue and outcome, how long they took and waited, and the backlog.

Names and labels are promised in docs/metrics.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from pykiq.observe.backlog import Backlog
from pykiq.observe.memory import rss_kb
from pykiq.observe.tally import DURATION, FOREIGN, JOBS, WAIT, Tally
from pykiq.records import Assigned, Foreign, Settled, Word
from pykiq.wire.payload import latency

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

# A tuple, the usual word first, and `_value_` below: an enum member hashes slower than all the rest here takes.
_RAN = (Word.DONE, Word.FAILED, Word.SNOOZED, Word.INTERRUPTED)


class Metrics:
    """An observer that tallies."""

    def __init__(
        self,
        *,
        concurrency: int,
        busy: Callable[[], int],
        in_flight: Callable[[], int],
        quiet: Callable[[], bool],
        backlog: Backlog | None = None,
        max_classes: int = 200,
    ) -> None:
        self.tally = Tally(max_classes)
        self._concurrency = concurrency
        self._busy = busy
        self._in_flight = in_flight
        self._quiet = quiet
        self._backlog = backlog

    @cached_property
    def registry(self) -> CollectorRegistry:
        """These metrics and the backlog, for who exposes them; asked for at the first scrape, not before."""
        from pykiq.observe.exposition import registry_of

        return registry_of(self, self._backlog)

    def started(self, batch: Sequence[Assigned]) -> None:
        """How long each job waited, from `enqueued_at` to the claim; jobs that do not say are left out."""
        waits: dict[str, list[float]] = {}
        for assigned in batch:
            claimed = assigned.claimed
            waited = latency(assigned.payload, claimed.claimed_at)
            if waited is not None:
                _add(waits, claimed.queue, waited)
        tally = self.tally
        with tally.lock:
            for queue, seconds in waits.items():
                tally.histogram(WAIT, (tally.label("queue", queue),)).observe(seconds)

    def settled(self, batch: Sequence[Settled]) -> None:
        """Counted by name first: labels and series are looked up once for all the jobs of a class."""
        ends: dict[tuple[str, str, str], int] = {}
        foreign: dict[str, int] = {}
        durations: dict[str, list[float]] = {}
        for settled in batch:
            outcome = settled.outcome
            name, word = outcome.name or "?", outcome.word
            end = (name, outcome.claimed.queue, settled.fate._value_)
            ends[end] = ends.get(end, 0) + 1
            if word in _RAN:
                if outcome.started_at:
                    _add(durations, name, max(0.0, outcome.elapsed))
            elif word is Word.FOREIGN:
                foreign[name] = foreign.get(name, 0) + 1
        self._count(ends, foreign, durations)

    def met(self, batch: Sequence[Foreign]) -> None:
        """Foreign jobs that were passed over in a shared queue."""
        counted: Counter[str] = Counter()
        for foreign in batch:
            counted.update(foreign.new)
        self._count({}, counted, {})

    def _count(
        self, ends: dict[tuple[str, str, str], int], foreign: dict[str, int], durations: dict[str, list[float]]
    ) -> None:
        label, histogram = self.tally.label, self.tally.histogram
        with self.tally.lock:
            jobs, strangers = self.tally.counter(JOBS), self.tally.counter(FOREIGN)
            for (name, queue, outcome), number in ends.items():
                key = (label("class", name), label("queue", queue), outcome)
                jobs[key] = jobs.get(key, 0) + number
            for name, number in foreign.items():
                one = (label("class", name),)
                strangers[one] = strangers.get(one, 0) + number
            for name, seconds in durations.items():
                histogram(DURATION, (label("class", name),)).observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """All but the backlog."""
        from pykiq.observe.exposition import GaugeMetricFamily

        yield from self.tally.collect()
        yield GaugeMetricFamily("pykiq_up", "1 while the process runs.", value=1)
        yield GaugeMetricFamily("pykiq_quiet", "1 when it takes no new jobs.", value=int(self._quiet()))
        yield GaugeMetricFamily("pykiq_busy", "Jobs running now.", value=self._busy())
        yield GaugeMetricFamily("pykiq_in_flight", "Jobs claimed and not settled.", value=self._in_flight())
        yield GaugeMetricFamily("pykiq_rss_bytes", "Resident memory.", value=rss_kb() * 1024)
        yield GaugeMetricFamily("pykiq_concurrency", "Jobs it can run at once.", value=self._concurrency)


def _add(lists: dict[str, list[float]], key: str, number: float) -> None:
    found = lists.get(key)
    if found is None:
        lists[key] = [number]
    else:
        found.append(number)

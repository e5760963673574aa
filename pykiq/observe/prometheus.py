"""The metrics of one process: jobs by class, queue and outcome, how long they took and waited, and the backlog.

Names and labels are promised in docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pykiq.observe.backlog import Backlog
from pykiq.observe.memory import rss_kb
from pykiq.observe.tally import DURATION, FOREIGN, JOBS, WAIT, Tally
from pykiq.records import Assigned, Settled, Word
from pykiq.wire.payload import latency

# A tuple, the usual word first, and `_value_` below: an enum member hashes slower than all the rest here takes.
_RAN = (Word.DONE, Word.FAILED, Word.SNOOZED, Word.INTERRUPTED)


class Metrics(Collector):
    """An observer that tallies, and the collector of its own registry."""

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
        self.registry = CollectorRegistry()
        self.tally = Tally(max_classes)
        self._concurrency = concurrency
        self._busy = busy
        self._in_flight = in_flight
        self._quiet = quiet
        self.registry.register(self)
        if backlog is not None:
            self.registry.register(backlog)

    def started(self, batch: Sequence[Assigned]) -> None:
        """How long each job waited, from `enqueued_at` to the claim; jobs that do not say are left out."""
        tally = self.tally
        with tally.lock:
            for assigned in batch:
                claimed = assigned.claimed
                waited = latency(assigned.payload, claimed.claimed_at)
                if waited is not None:
                    tally.histogram(WAIT, (tally.label("queue", claimed.queue),)).observe(waited)

    def settled(self, batch: Sequence[Settled]) -> None:
        label, histogram = self.tally.label, self.tally.histogram
        with self.tally.lock:
            jobs, foreign = self.tally.counter(JOBS), self.tally.counter(FOREIGN)
            for settled in batch:
                outcome = settled.outcome
                name = label("class", outcome.name or "?")
                key = (name, label("queue", outcome.claimed.queue), settled.fate._value_)
                jobs[key] = jobs.get(key, 0) + 1
                if outcome.word is Word.FOREIGN:
                    foreign[name,] = foreign.get((name,), 0) + 1
                if outcome.word in _RAN and outcome.started_at:
                    histogram(DURATION, (name,)).observe(max(0.0, outcome.elapsed))

    def describe(self) -> list[Metric]:
        return []  # unchecked: nothing is collected, and no callable called, before the first scrape

    def collect(self) -> Iterator[Metric]:
        yield from self.tally.collect()
        yield GaugeMetricFamily("pykiq_up", "1 while the process runs.", value=1)
        yield GaugeMetricFamily("pykiq_quiet", "1 when it takes no new jobs.", value=int(self._quiet()))
        yield GaugeMetricFamily("pykiq_busy", "Jobs running now.", value=self._busy())
        yield GaugeMetricFamily("pykiq_in_flight", "Jobs claimed and not settled.", value=self._in_flight())
        yield GaugeMetricFamily("pykiq_rss_bytes", "Resident memory.", value=rss_kb() * 1024)
        yield GaugeMetricFamily("pykiq_concurrency", "Jobs it can run at once.", value=self._concurrency)

"""The metrics of one process: jobs by class, queue and outcome, how long they took and waited, and the backlog.

Names and labels are promised in docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from pykiq.observe.backlog import Backlog
from pykiq.observe.memory import rss_kb
from pykiq.observe.observer import Kinds, Observer
from pykiq.observe.tally import DURATION, FOREIGN, JOBS, POISON_PILLS, TAKEOVERS, WAIT, Tally
from pykiq.records import Foreign, Started, Takeover, Word
from pykiq.wire.payload import latency

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

_RAN = frozenset({Word.DONE, Word.FAILED, Word.SNOOZED, Word.INTERRUPTED})


class Tallying(Observer):
    """An observer that counts into a tally."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally

    def started(self, batch: Sequence[Started]) -> None:
        """How long each job waited, from `enqueued_at` to the claim; jobs that do not say are left out."""
        waits: dict[str, list[float]] = {}
        for assigned, _ in batch:
            claimed = assigned.claimed
            waited = latency(assigned.payload, claimed.claimed_at)
            if waited is not None:
                waits.setdefault(claimed.queue, []).append(waited)
        with self.tally.lock:
            for queue, seconds in waits.items():
                self.tally.histogram(WAIT, (self.tally.label("queue", queue),)).observe(seconds)

    def counted(self, kinds: Kinds) -> None:
        label, histogram = self.tally.label, self.tally.histogram
        with self.tally.lock:
            ended, foreign = self.tally.counter(JOBS), self.tally.counter(FOREIGN)
            for kind, seconds in kinds.items():
                name = label("class", kind.name or "?")
                key = (name, label("queue", kind.queue), kind.fate.value)
                ended[key] = ended.get(key, 0) + len(seconds)
                if kind.word in _RAN:
                    histogram(DURATION, (name,)).observe(seconds)
                elif kind.word is Word.FOREIGN:
                    foreign[name,] = foreign.get((name,), 0) + len(seconds)

    def met(self, batch: Sequence[Foreign]) -> None:
        """Counts those that are new."""
        with self.tally.lock:
            counted = self.tally.counter(FOREIGN)
            for foreign in batch:
                for name, number in foreign.new.items():
                    key = (self.tally.label("class", name),)
                    counted[key] = counted.get(key, 0) + number

    def took_over(self, batch: Sequence[Takeover]) -> None:
        """Counts them, and the poison pills among them."""
        with self.tally.lock:
            self.tally.counter(TAKEOVERS)[()] += len(batch)
            self.tally.counter(POISON_PILLS)[()] += sum(one.poison for one in batch)


class Metrics(Tallying):
    """What a process tells of itself: the tally, and how it is."""

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
        super().__init__(Tally(max_classes))
        self._concurrency = concurrency
        self._busy = busy
        self._in_flight = in_flight
        self._quiet = quiet
        self._backlog = backlog

    @cached_property
    def registry(self) -> CollectorRegistry:
        """These metrics and the backlog, for who exposes them."""
        from pykiq.observe.exposition import registry_of

        return registry_of(self, self._backlog)

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

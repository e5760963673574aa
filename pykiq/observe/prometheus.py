"""The metrics of one process: jobs by class, queue and outcome, how long they took and waited, and the backlog.

Names and labels are promised in docs/metrics.md.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from pykiq.observe.backlog import Backlog
from pykiq.records import Assigned, Fate, Settled, Word
from pykiq.wire.payload import latency

DURATION_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
WAIT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600)
OTHER = "other"  # the class label of whatever comes after the first `max_classes` classes
_RAN = frozenset({Word.DONE, Word.FAILED, Word.SNOOZED, Word.INTERRUPTED})


class Histogram:
    """Counts by bucket and a sum. One bisection per observation; callers hold the lock for a whole batch."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, as Prometheus wants them, `+Inf` last."""
        cumulative = 0
        rows: list[tuple[str, float]] = []
        for bound, counted in zip([*self.bounds, None], self.counts, strict=True):
            cumulative += counted
            rows.append(("+Inf" if bound is None else str(float(bound)), cumulative))
        return rows


class Metrics(Collector):
    """An observer, and the collector of its own registry.

    The client library's counters take a lock and several calls per observation; these are plain numbers under one lock
    per batch, turned into the library's families when somebody scrapes.
    """

    def __init__(
        self,
        *,
        concurrency: int,
        busy: Callable[[], int],
        quiet: Callable[[], bool],
        backlog: Backlog | None = None,
        max_classes: int = 200,
    ) -> None:
        self.registry = CollectorRegistry()
        self._concurrency = concurrency
        self._busy = busy
        self._quiet = quiet
        self._max_classes = max_classes
        self._lock = threading.Lock()
        self._labels: dict[str, str] = {}
        self._queues: dict[str, str] = {}
        self._jobs: dict[tuple[str, str, Fate], int] = {}
        self._durations: dict[str, Histogram] = {}
        self._waits: dict[str, Histogram] = {}
        self.registry.register(self)
        if backlog is not None:
            self.registry.register(backlog)

    def started(self, batch: Sequence[Assigned]) -> None:
        """How long each job waited, from `enqueued_at` to the claim; jobs that do not say are left out."""
        with self._lock:
            for assigned in batch:
                claimed = assigned.claimed
                waited = latency(assigned.payload, claimed.claimed_at)
                if waited is not None:
                    queue = self._bounded(self._queues, claimed.queue)
                    self._histogram(self._waits, queue, WAIT_BUCKETS).observe(waited)

    def settled(self, batch: Sequence[Settled]) -> None:
        with self._lock:
            for settled in batch:
                outcome = settled.outcome
                name = self._bounded(self._labels, outcome.name or "?")
                queue = self._bounded(self._queues, outcome.claimed.queue)
                key = (name, queue, settled.fate)
                self._jobs[key] = self._jobs.get(key, 0) + 1
                if outcome.word in _RAN and outcome.started_at:
                    self._histogram(self._durations, name, DURATION_BUCKETS).observe(max(0.0, outcome.elapsed))

    def _bounded(self, seen: dict[str, str], name: str) -> str:
        """The label for `name`: itself for the first `max_classes` names, then `other`.

        Names come from payloads: whoever can push could otherwise fill this process's memory, and Prometheus's.
        """
        label = seen.get(name)
        if label is None:
            if len(seen) >= self._max_classes or len(name) > 200:
                return OTHER
            label = seen[name] = name.encode("utf-8", "replace").decode()
        return label

    def _histogram(self, known: dict[str, Histogram], label: str, bounds: Sequence[float]) -> Histogram:
        histogram = known.get(label)
        if histogram is None:
            histogram = known[label] = Histogram(bounds)
        return histogram

    def describe(self) -> list[Metric]:
        return []  # unchecked: nothing is collected, and no callable called, before the first scrape

    def collect(self) -> Iterator[Metric]:
        jobs = CounterMetricFamily(
            "pykiq_jobs", "Jobs that ended, by what became of them.", labels=["class", "queue", "outcome"]
        )
        duration = HistogramMetricFamily("pykiq_job_duration_seconds", "Execution time.", labels=["class"])
        wait = HistogramMetricFamily("pykiq_job_wait_seconds", "From enqueued to claimed.", labels=["queue"])
        with self._lock:
            for (name, queue, fate), counted in self._jobs.items():
                jobs.add_metric([name, queue, fate.value], counted)
            for family, known in ((duration, self._durations), (wait, self._waits)):
                for label, histogram in known.items():
                    family.add_metric([label], histogram.buckets(), histogram.total)
        yield jobs
        yield duration
        yield wait
        yield GaugeMetricFamily("pykiq_up", "1 while the process runs.", value=1)
        yield GaugeMetricFamily("pykiq_quiet", "1 when it takes no new jobs.", value=int(self._quiet()))
        yield GaugeMetricFamily("pykiq_busy", "Jobs running now.", value=self._busy())
        yield GaugeMetricFamily("pykiq_concurrency", "Jobs it can run at once.", value=self._concurrency)

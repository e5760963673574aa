"""The tally: counters and histograms as plain numbers, which can be taken, sent elsewhere and added up.

The client library's own take a lock and several calls per observation; these are dictionaries under one lock per batch,
turned into the library's families when somebody scrapes. A child of a swarm takes its tally once a second, and the
process with the metrics port adds it to its own: what is counted there never goes backwards, whoever dies.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from operator import add
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from prometheus_client.core import Metric

DURATION_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
WAIT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600)
OTHER = "other"  # the label of whatever comes after the first `max_names` names
LONGEST = 200  # characters of a name that gets a label of its own


class Family(NamedTuple):
    """One metric: a counter, or a histogram when it has `bounds`."""

    name: str
    help: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...] = ()


JOBS = Family("pykiq_jobs", "Jobs that ended, by what became of them.", ("class", "queue", "outcome"))
DURATION = Family("pykiq_job_duration_seconds", "Execution time.", ("class",), DURATION_BUCKETS)
WAIT = Family("pykiq_job_wait_seconds", "From enqueued to claimed.", ("queue",), WAIT_BUCKETS)
FOREIGN = Family("pykiq_foreign_jobs", "Jobs met that have no handler in this process.", ("class",))
TAKEOVERS = Family("pykiq_takeovers", "Jobs taken over from processes that died.", ())
POISON_PILLS = Family("pykiq_poison_pills", "Of those, jobs that went to the dead set: once too often.", ())
REFUSED = Family("pykiq_entries_refused", "Entries that Redis would not take or would not send.", ("step",))

FAMILIES = {family.name: family for family in (JOBS, DURATION, WAIT, FOREIGN, TAKEOVERS, POISON_PILLS, REFUSED)}
BOUNDED = frozenset({"class", "queue"})  # labels whose values come from payloads


class Row(NamedTuple):
    """One series on its way from one tally to another. `counts` are a histogram's, by bucket; a counter has none."""

    name: str
    labels: tuple[str, ...]
    total: float
    counts: tuple[int, ...] = ()


class Histogram:
    """Counts by bucket and a sum. One bisection per observation; callers hold the lock for a whole batch."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: Sequence[float]) -> None:
        """Add some observations."""
        bounds, counts = self.bounds, self.counts
        for one in seconds:
            counts[bisect_left(bounds, one)] += 1
        self.total += sum(seconds)

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, as Prometheus wants them, `+Inf` last."""
        cumulative = 0
        rows: list[tuple[str, float]] = []
        for bound, counted in zip([*self.bounds, None], self.counts, strict=True):
            cumulative += counted
            rows.append(("+Inf" if bound is None else str(float(bound)), cumulative))
        return rows


class Tally:
    """The counters and histograms of `FAMILIES`. Hold `lock` for `counter`, `histogram` and `label`."""

    def __init__(self, max_names: int = 200) -> None:
        self.lock = threading.Lock()
        self._max_names = max_names
        self._names: dict[str, dict[str, str]] = {label: {} for label in BOUNDED}
        self._counters: dict[str, dict[tuple[str, ...], float]]
        self._histograms: dict[str, dict[tuple[str, ...], Histogram]]
        self._clear()

    def _clear(self) -> None:
        # A series without labels is there from the start: an alert on its rate needs the zero before the first one.
        self._counters = {
            family.name: {} if family.labels else {(): 0} for family in FAMILIES.values() if not family.bounds
        }
        self._histograms = {family.name: {} for family in FAMILIES.values() if family.bounds}

    def label(self, kind: str, name: str) -> str:
        """The label for `name`, a value of the label `kind`: itself for the first `max_names` names, then `other`.

        Names come from payloads: whoever can push could otherwise fill this process's memory, and Prometheus's.
        """
        seen = self._names[kind]
        label = seen.get(name)
        if label is None:
            if len(seen) >= self._max_names or len(name) > LONGEST:
                return OTHER
            label = seen[name] = name.encode("utf-8", "replace").decode()
        return label

    def counter(self, family: Family) -> dict[tuple[str, ...], float]:
        """The counts of a family by the values of its labels, to add to."""
        return self._counters[family.name]

    def histogram(self, family: Family, labels: tuple[str, ...]) -> Histogram:
        series = self._histograms[family.name]
        histogram = series.get(labels)
        if histogram is None:
            histogram = series[labels] = Histogram(family.bounds)
        return histogram

    def take(self) -> list[Row]:
        """What has been counted since the last call; from now on it is the caller's."""
        with self.lock:
            counters, histograms = self._counters, self._histograms
            self._clear()
        rows = [
            Row(name, labels, total) for name, series in counters.items() for labels, total in series.items() if total
        ]
        for name, each in histograms.items():
            rows += [Row(name, labels, one.total, tuple(one.counts)) for labels, one in each.items()]
        return rows

    def add(self, rows: Iterable[Row]) -> None:
        """Add what another tally gave. A row of a family that this version does not know is left out."""
        with self.lock:
            for row in rows:
                family = FAMILIES.get(row.name)
                if family is None or len(row.labels) != len(family.labels):
                    continue
                labels = tuple(
                    self.label(kind, value) if kind in BOUNDED else value
                    for kind, value in zip(family.labels, row.labels, strict=True)
                )
                if not family.bounds:
                    counts = self.counter(family)
                    counts[labels] = counts.get(labels, 0) + row.total
                elif len(row.counts) == len(family.bounds) + 1:
                    histogram = self.histogram(family, labels)
                    histogram.counts = list(map(add, histogram.counts, row.counts))
                    histogram.total += row.total

    def collect(self) -> Iterator[Metric]:
        """The families as the client library wants them."""
        from pykiq.observe.exposition import CounterMetricFamily, HistogramMetricFamily

        made: list[Metric] = []
        with self.lock:
            for family in FAMILIES.values():
                labels = list(family.labels)
                if family.bounds:
                    histograms = HistogramMetricFamily(family.name, family.help, labels=labels)
                    for values, histogram in self._histograms[family.name].items():
                        histograms.add_metric(list(values), histogram.buckets(), histogram.total)
                    made.append(histograms)
                else:
                    counters = CounterMetricFamily(family.name, family.help, labels=labels)
                    for values, total in self._counters[family.name].items():
                        counters.add_metric(list(values), total)
                    made.append(counters)
        yield from made


def sendable(rows: Sequence[Row], most: int = 25) -> Iterator[Sequence[Row]]:
    """The rows in portions, each of which fits into one datagram."""
    for start in range(0, len(rows), most):
        yield rows[start : start + most]

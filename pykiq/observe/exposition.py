"""The one door to Prometheus' client library: what it is given to expose, and how.

Loaded with the endpoint. The library imports all it can do (a server and gateways of its own, WSGI, ASGI), which is a
megabyte for whoever serves no metrics. Not at the first scrape: a deployment may have removed the files by then.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

__all__ = ["CounterMetricFamily", "GaugeMetricFamily", "HistogramMetricFamily", "choose_encoder", "registry_of"]


class Source(Protocol):
    """What has metrics."""

    def collect(self) -> Iterable[Metric]:
        """They, as they are now."""
        ...


class _Collector(Collector):
    def __init__(self, source: Source) -> None:
        self._source = source

    def describe(self) -> list[Metric]:
        return []  # unchecked: registering must call nobody and not ask Redis

    def collect(self) -> Iterable[Metric]:
        return self._source.collect()


def registry_of(*sources: Source | None) -> CollectorRegistry:
    """A registry of its own with these sources."""
    registry = CollectorRegistry()
    for source in sources:
        if source is not None:
            registry.register(_Collector(source))
    return registry

"""The gauges of what waits in Redis, read when somebody scrapes: queues, `retry`, `schedule`, `dead`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import redis as redis_py

from pykiq.observe.reading import Reading, shared

if TYPE_CHECKING:
    from prometheus_client.core import Metric


class Backlog:
    """Its metrics: at most one reading under way in this process, which `fresh` seconds of scrapes share.

    Redis is asked on a thread of its own and waited for `patience` seconds, so that a scrape ends in time whatever
    hangs (a connection into nowhere, a name that does not resolve): `pykiq_redis_up 0` and no sizes, rather than no
    scrape.
    """

    def __init__(
        self,
        connect: Callable[[], redis_py.Redis],
        queues: Sequence[str],
        *,
        fresh: float = 1.0,
        patience: float = 1.5,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connect = connect
        self._queues = tuple(dict.fromkeys(queues))
        self._fresh = fresh
        self._patience = patience
        self._clock = clock
        self._lock = threading.Lock()
        self._redis: redis_py.Redis | None = None
        self._under_way: threading.Event | None = None
        self._reading = Reading(up=False)
        self._read_at: float | None = None  # monotonic

    def collect(self) -> Iterator[Metric]:
        """All of them, from one reading."""
        from pykiq.observe.exposition import GaugeMetricFamily

        reading = self.reading()
        size = GaugeMetricFamily("pykiq_queue_size", "Jobs waiting.", labels=["queue"])
        for queue, jobs in reading.sizes.items():
            size.add_metric([queue], jobs)
        latencies = GaugeMetricFamily(
            "pykiq_queue_latency_seconds", "How long the next job has waited.", labels=["queue"]
        )
        for queue, seconds in reading.latencies.items():
            latencies.add_metric([queue], seconds)
        paused = GaugeMetricFamily("pykiq_queue_paused", "1 when no jobs are taken from it.", labels=["queue"])
        for queue, is_paused in reading.paused.items():
            paused.add_metric([queue], int(is_paused))
        lateness = GaugeMetricFamily(
            "pykiq_schedule_lateness_seconds",
            "How long the first job that is due has not been moved to its queue.",
            labels=["set"],
        )
        for key, late in reading.lateness.items():
            lateness.add_metric([key], late)
        trip = GaugeMetricFamily("pykiq_redis_round_trip_seconds", "How long Redis took for this scrape.", labels=[])
        if reading.up:
            trip.add_metric([], reading.seconds)
        yield GaugeMetricFamily("pykiq_redis_up", "1 when Redis answered this scrape.", value=int(reading.up))
        yield trip
        yield size
        yield latencies
        yield paused
        yield lateness
        for name, help_text in (
            ("retry", "Jobs waiting for another try."),
            ("schedule", "Jobs scheduled for later."),
            ("dead", "Jobs that will not be tried again."),
        ):
            family = GaugeMetricFamily(f"pykiq_{name}_size", help_text, labels=[])
            if name in reading.sets:
                family.add_metric([], reading.sets[name])
            yield family

    def reading(self) -> Reading:
        """The shared reading if it is fresh, else a new one; `up` False when it does not come in time."""
        with self._lock:
            if self._read_at is not None and time.monotonic() - self._read_at < self._fresh:
                return self._reading
            done = self._under_way
            if done is None:
                done = self._under_way = threading.Event()
                threading.Thread(target=self._read, args=(done,), name="pykiq-backlog", daemon=True).start()
        if not done.wait(self._patience):
            return Reading(up=False)
        with self._lock:
            return self._reading

    def _read(self, done: threading.Event) -> None:
        try:
            if self._redis is None:
                self._redis = self._connect()
            reading = shared(self._redis, self._queues, self._clock())
        except Exception:
            reading = Reading(up=False)
        with self._lock:
            self._reading = reading
            self._read_at = time.monotonic()
            self._under_way = None
        done.set()

    def close(self) -> None:
        if self._redis is not None:
            self._redis.close()

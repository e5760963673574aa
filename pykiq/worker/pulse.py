"""The pulse: one thread that keeps this process visible and alive to the others.

It renews the lease a few times within its life, sends the heartbeat in Ruby's rhythm, reads which Rubies run beside
us, and passes on what people press on the dashboard (Quiet and Stop arrive as names of signals).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

import redis
import structlog

from pykiq.config import Config
from pykiq.jobs.lifecycle import Lifecycle
from pykiq.observe.counters import Counters
from pykiq.observe.ghosts import clear_ghosts
from pykiq.observe.heartbeat import Beat, Running
from pykiq.records import Assigned
from pykiq.store import fleet
from pykiq.store.claim import Berth
from pykiq.store.fleet import Fleet, chosen

log = structlog.get_logger("pykiq")


class Pulse:
    """Lease, heartbeat and fleet of one process."""

    def __init__(
        self,
        config: Config,
        berth: Berth,
        beat: Beat,
        client: redis.Redis,
        counters: Counters,
        lifecycle: Lifecycle,
        *,
        running: Callable[[], list[tuple[int, Assigned, float]]],
        quiet: Callable[[], bool],
        signal: Callable[[str], None],
    ) -> None:
        self._config = config
        self._berth = berth
        self._beat = beat
        self.client = client
        self._counters = counters
        self._lifecycle = lifecycle
        self._running = running
        self._quiet = quiet
        self._signal = signal
        self._stop = threading.Event()
        self._beat_at = self._cleanup_at = 0.0
        self.fleet = Fleet()
        self._thread = threading.Thread(target=self._run, name="pykiq-pulse", daemon=True)

    def start(self) -> None:
        """The first lease, look at the fleet and beat, then a thread for the rest. Raises redis.RedisError."""
        self._berth.renew(self.client)
        self.fleet = fleet.read(self.client)
        self._send()
        self._thread.start()

    def halt(self) -> None:
        """No more beats, and the lease is not renewed any more."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(5.0)

    def close(self) -> None:
        """Out of `processes`, the last counts written, as far as Redis answers."""
        self.halt()
        try:
            self._beat.clear(self.client, self._counters)
        except (redis.RedisError, OSError) as error:
            log.warning("heartbeat_not_cleared", error=str(error), next="it expires within 60 s")

    def _run(self) -> None:
        while not self._stop.wait(self._config.lease_ttl / 4):
            try:
                self._berth.renew(self.client)
                if time.monotonic() >= self._beat_at:
                    self.fleet = fleet.read(self.client)
                    self._send()
                if time.monotonic() >= self._cleanup_at:
                    self._cleanup_at = time.monotonic() + 60
                    clear_ghosts(self.client)
            except (redis.RedisError, OSError) as error:
                log.warning("heartbeat_failed", error=str(error) or type(error).__name__)
            except BaseException:  # a hook that exits must not end the lease of a process that lives
                log.error("heartbeat_failed", exc_info=True)

    def _send(self) -> None:
        dialect = chosen(self._config.wire, self.fleet)
        # A little early: the thread wakes in steps of a quarter lease, and a beat that is late is a beat missed.
        self._beat_at = time.monotonic() + dialect.heartbeat_period - self._config.lease_ttl / 8
        work = list(self._work())
        beaten = self._beat.send(
            self.client,
            work=work,
            busy=len(work),
            quiet=self._quiet(),
            counters=self._counters,
            legacy_workers=self.fleet.needs_workers_key if self._config.wire == "auto" else dialect.major == 6,
        )
        if beaten.first:
            self._lifecycle.fire("heartbeat")
        self._lifecycle.fire("beat")
        for name in beaten.signals:
            self._signal(name)

    def _work(self) -> Iterable[Running]:
        for number, assigned, run_at in self._running():
            yield Running(number, assigned.claimed.queue, assigned.claimed.raw, run_at)

"""The pulse: what keeps this process visible and alive to the others.

It renews the lease a few times within its life, and keeps up the standing orders by which Redis does so while a handler
holds the interpreter's lock. It sends the heartbeat in Ruby's rhythm, reads which Rubies run beside us and which queues
are paused, and passes on what people press on the dashboard (Quiet and Stop arrive as names of signals).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence

import redis

from pykiq.config import Config
from pykiq.jobs.lifecycle import Lifecycle
from pykiq.logger import get_logger
from pykiq.observe.counters import Counters
from pykiq.observe.ghosts import clear_ghosts
from pykiq.observe.heartbeat import Beat, Running
from pykiq.observe.history import History, generations
from pykiq.observe.observer import Observer
from pykiq.observe.picture import Picture
from pykiq.records import Assigned, Started
from pykiq.store import fleet, queues
from pykiq.store.claim import Berth
from pykiq.store.fleet import Fleet, chosen
from pykiq.store.leases import renewal
from pykiq.store.outage import Outage
from pykiq.store.standing import StandingOrders

SOON = 1.0  # seconds between two attempts to renew a lease, at most
GLANCE = 0.5  # seconds between two looks while anything runs: a job that takes its time is shown within twice that
CLEANUP_INTERVAL = 60.0  # seconds between two looks for processes that are listed but gone

log = get_logger()


class Pulse(Observer):
    """Lease, heartbeat and fleet of one process."""

    def __init__(
        self,
        config: Config,
        berth: Berth,
        beat: Beat,
        client: redis.Redis,
        counters: Counters,
        history: History,
        lifecycle: Lifecycle,
        *,
        running: Callable[[], list[tuple[int, Assigned, float]]],
        quiet: Callable[[], bool],
        signal: Callable[[str], None],
        pause: Callable[[frozenset[str]], None],
        orders: StandingOrders | None = None,
        outage: Outage | None = None,
    ) -> None:
        """`orders` are not needed where a keeper extends the lease from outside."""
        self._config = config
        self._berth = berth
        self._beat = beat
        self.client = client
        self._counters = counters
        self._history = history
        self._lifecycle = lifecycle
        self._running = running
        self._quiet = quiet
        self._signal = signal
        self._pause = pause
        self._orders = orders
        self._outage = outage or Outage()
        self._interval = renewal(config.lease_ttl)  # and until a paused queue is noticed
        self._soon = min(self._interval, SOON)
        self._paused: frozenset[str] = frozenset()
        self._stop = threading.Event()
        self._wake = threading.Event()  # of the thread that beats
        self._hurried = False
        self._dozes = False  # nothing runs: it sleeps until the next beat, or until something starts
        self._picture = Picture()
        self._shows = True
        self._cleanup_at = 0.0
        self.fleet = Fleet()
        # Several threads: a user's hook on "beat" may take its time, the lease may not. Where handlers take turns at
        # holding the interpreter's lock, the orders may not wait for what the lease's thread does besides.
        tasks = {"lease": self._hold_lease, "pulse": self._keep_beating}
        if orders:
            tasks["orders"] = self._keep_orders
        self._threads = [
            threading.Thread(target=task, name=f"pykiq-{name}", daemon=True) for name, task in tasks.items()
        ]

    def start(self) -> None:
        """The first lease, look at the fleet and beat, then a thread for the rest. Raises redis.RedisError."""
        self._berth.renew(self.client)
        self._look_for_paused()
        self.fleet = fleet.shared(self.client)
        try:
            self._send()
        except redis.ResponseError as error:  # a server that is full refuses it, and needs workers more than ever
            log.warning("heartbeat_failed", error=str(error))
        self._top_up()
        for thread in self._threads:
            thread.start()

    def hurry(self) -> None:
        """Beat now: something has changed that people wait to see."""
        self._hurried = True
        self._wake.set()

    def started(self, batch: Sequence[Started]) -> None:
        """As an observer: something runs again."""
        if self._dozes:
            self._wake.set()

    def halt(self) -> None:
        """No more beats, and the lease is not renewed any more."""
        self._stop.set()
        self._wake.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(5.0)

    def close(self) -> None:
        """Out of `processes`, the last counts written, as far as Redis answers."""
        self.halt()
        self._guarded("history_not_written", self._write_history)
        self._guarded("heartbeat_not_cleared", lambda: self._beat.clear(self.client, self._counters))
        self.client.close()

    def _hold_lease(self) -> None:
        wait = self._interval
        while not self._stop.wait(wait):
            renewed = self._guarded("lease_not_renewed", lambda: self._berth.renew(self.client))
            wait = self._interval if renewed else self._soon  # when Redis is back, the others do not wait for long
            self._guarded("paused_queues_not_read", self._look_for_paused)

    def _keep_orders(self) -> None:
        wait = self._interval
        while not self._stop.wait(wait):
            wait = self._interval if self._top_up() else self._soon
        if self._orders:
            self._orders.close()

    def _top_up(self) -> bool:
        return self._orders is None or self._guarded("standing_orders_failed", self._orders.top_up)

    def _look_for_paused(self) -> None:
        paused = queues.paused(self.client)
        if paused != self._paused:
            log.info("paused_queues", queues=sorted(paused), next="nothing is taken from them")
            self._paused = paused
            self._pause(paused)

    def _keep_beating(self) -> None:
        due = time.monotonic() + self._period
        while not self._stop.is_set():
            left = max(0.0, due - time.monotonic())
            self._wake.wait(left if self._may_doze() else min(GLANCE, left))
            self._wake.clear()
            if self._stop.is_set():
                return
            if self._hurried or time.monotonic() >= due:
                self._hurried = False
                self._shows = self._guarded("heartbeat_failed", self._beat_once)
                due = time.monotonic() + (self._period if self._shows else self._soon)
            elif self._shows:
                self._guarded("running_jobs_not_shown", self._show_changes)

    def _may_doze(self) -> bool:
        """Whether there is nothing to look at until something starts. Said before it is asked: none is missed."""
        self._dozes = True
        self._dozes = self._picture.empty and not self._running()
        return self._dozes

    @property
    def _period(self) -> float:
        return chosen(self._config.wire, self.fleet).heartbeat_period

    def _beat_once(self) -> None:
        self.fleet = fleet.shared(self.client, self.fleet)
        self._send()
        self._guarded("history_not_written", self._write_history)
        if time.monotonic() >= self._cleanup_at:
            self._cleanup_at = time.monotonic() + CLEANUP_INTERVAL
            clear_ghosts(self.client)

    def _write_history(self) -> None:
        self._history.flush(self.client, generations(self._config.wire, self.fleet), time.time())

    def _guarded(self, event: str, work: Callable[[], None]) -> bool:
        """Do it; False when it failed, and that has been told."""
        try:
            work()
        except (redis.RedisError, OSError) as error:
            self._outage.failed(event, error)
        except BaseException:  # a hook that exits must not end the pulse of a process that lives
            log.error(event, exc_info=True)
        else:
            self._outage.answered(event)
            return True
        return False

    def _show_changes(self) -> None:
        """Between two beats: a job that has run for a while is there for whoever looks, one that has ended is not."""
        work = list(self._work())
        change = self._picture.change(work, time.time())
        if change is None:
            return
        self._shows = False  # if Redis is away, the next beat finds out whether it is back
        self._beat.show(
            self.client,
            begun=change.begun,
            ended=change.ended,
            busy=len(work),
            quiet=self._quiet(),
            legacy_workers=self._legacy_workers,
        )
        self._picture.told(change)
        self._shows = True

    @property
    def _legacy_workers(self) -> bool:
        """Whether running jobs are written under 6.4's key too."""
        setting = self._config.wire
        return self.fleet.needs_workers_key if setting == "auto" else chosen(setting, self.fleet).major == 6

    def _send(self) -> None:
        work = list(self._work())
        beaten = self._beat.send(
            self.client,
            work=work,
            busy=len(work),
            quiet=self._quiet(),
            counters=self._counters,
            legacy_workers=self._legacy_workers,
        )
        self._picture.told_all(work, time.time())
        if beaten.first:
            self._lifecycle.fire("heartbeat")
        self._lifecycle.fire("beat")
        for name in beaten.signals:
            self._signal(name)

    def _work(self) -> Iterable[Running]:
        for number, assigned, run_at in self._running():
            yield Running(number, assigned.claimed.queue, assigned.claimed.raw, run_at)

"""One process: everything that runs in it, wired together, started in order and stopped in order.

    main thread   signals, and waiting for the end
    exchange      claims, hands out, settles
    bells         connections on which jobs come, or are told of, while slots are free
    slots         handlers: threads, and one event loop
    poller        due jobs
    sweeper       takeovers
    pulse         lease, standing orders, heartbeat, the dashboard's buttons
    reporter      log lines, metrics, counters, users' death and error handlers
    endpoint      /metrics, /live, /ready

Exit codes: 0 stopped and everything settled; 1 could not start, or Redis did not take the last settlements (another
process takes those jobs over).
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from contextvars import Context
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import redis

from pykiq.config import Config
from pykiq.jobs.lifecycle import Lifecycle, lifecycle
from pykiq.jobs.registry import Registry, registry
from pykiq.logger import get_logger
from pykiq.middleware.chain import Chain, ClientMiddleware, ServerMiddleware, client_middleware, server_middleware
from pykiq.observe import heartbeat
from pykiq.observe import log as log_output
from pykiq.observe.backlog import Backlog
from pykiq.observe.counters import Counters
from pykiq.observe.heartbeat import STUCK, Beat
from pykiq.observe.history import History
from pykiq.observe.joblog import JobLog
from pykiq.observe.prometheus import Metrics
from pykiq.observe.systemd import Systemd
from pykiq.records import Foreign, Settled, Started, Takeover
from pykiq.store.claim import Berth
from pykiq.store.connection import connect, probe
from pykiq.store.fleet import Fleet, chosen
from pykiq.store.leadership import Leadership
from pykiq.store.outage import Outage
from pykiq.store.standing import StandingOrders
from pykiq.wire import keys
from pykiq.worker import fork, runtime, signals
from pykiq.worker.descriptors import make_room
from pykiq.worker.doorbell import BLOCK, CONNECTING, MARGIN
from pykiq.worker.exchange import Exchange
from pykiq.worker.execute import Executor
from pykiq.worker.failing import Failing
from pykiq.worker.loopslots import LoopThread
from pykiq.worker.poller import LEADERSHIP_SECONDS, Poller
from pykiq.worker.pulse import Pulse
from pykiq.worker.refused import Refused
from pykiq.worker.reporter import Reporter
from pykiq.worker.sweeper import Sweeper

if TYPE_CHECKING:
    from pykiq.observe.endpoint import Endpoint

LISTENING = 1.0  # seconds that a signal may go unheard
FLUSHING = 0.1  # seconds at a time for lines that have found no room, while somebody reads

log = get_logger()


class Process:
    """A worker process. `run` blocks until it has stopped; `quiet` and `stop` may be called from any thread."""

    def __init__(
        self,
        config: Config,
        *,
        handlers: Registry = registry,
        hooks: Lifecycle = lifecycle,
        on_push: Chain[ClientMiddleware] = client_middleware,
        around_jobs: Chain[ServerMiddleware] = server_middleware,
        embedded: bool = False,
        nonce: str | None = None,
        systemd: Systemd | None = None,
    ) -> None:
        """`nonce` is the random part of the identity, 12 hex digits; drawn here unless a parent has drawn it."""
        make_room(config)
        self.config = config
        host = heartbeat.hostname(os.environ)
        self.identity = heartbeat.identity(host, os.getpid(), nonce or os.urandom(6).hex())
        self._hooks = hooks
        self._embedded = embedded
        self._on_terminal = not embedded and signals.on_terminal()
        self._asked_at: float | None = None  # monotonic: when it was first told to stop
        self._systemd = systemd or Systemd({})
        self._commands: SimpleQueue[str] = SimpleQueue()
        self._quiet = threading.Event()
        self._stopping = threading.Event()
        self._counters = Counters()
        self._history = History()
        self._handlers = handlers
        self._fleet = Fleet()
        queues = tuple(dict.fromkeys(name for capsule in config.capsules for name in capsule.names))
        self.berth = Berth(self.identity, queues, config.lease_ttl)
        failing = Failing(config, self.fleet, hooks)
        self._loop = LoopThread()
        self._executor = Executor(config, handlers, around_jobs, failing, self._loop, self._stopping.is_set)
        self.metrics = Metrics(
            concurrency=heartbeat.total_concurrency(config),
            busy=lambda: len(self.exchange.running()),
            in_flight=lambda: self.exchange.in_flight(),
            quiet=self._quiet.is_set,
            max_classes=config.metrics_max_classes,
            backlog=Backlog(lambda: connect(config, timeout=1.0), queues),
        )
        outage = Outage()  # one for all of them: it is told once
        refused = Refused(self.metrics.tally)
        self._poller = Poller(
            *(config, connect(config), on_push),
            dialect=failing.dialect,
            report=self._report,
            refusals=refused,
            outage=outage,
            leadership=Leadership(self.berth, keys.POLLER, LEADERSHIP_SECONDS),
            peers=lambda: self.fleet().peers,
        )
        self._sweeper = Sweeper(
            *(config, self.berth, connect(config)),
            poison_entry=failing.poison_entry,
            report=self._report,
            refusals=refused,
            outage=outage,
        )
        observers = [self._poller, self._counters, self._history, self.metrics, JobLog(handled=self._executor.classes)]
        self._reporter = Reporter(observers, hooks)
        self.exchange = Exchange(
            *(config, self.berth, connect(config), self._door_client, self._executor, self._loop, self._reporter),
            acknowledging=connect(config),
            refused=refused,
            outage=outage,
        )
        info = heartbeat.process_info(
            config, host=host, pid=os.getpid(), identity=self.identity, started_at=time.time(), embedded=embedded
        )
        beat = Beat(self.identity, info, pid=os.getpid(), concurrency=heartbeat.total_concurrency(config))
        orders = None if nonce else StandingOrders(self.berth, connect(config))  # a child's parent has a keeper
        if orders:
            fork.keep_from_children(orders)
        self._pulse = Pulse(
            *(config, self.berth, beat, connect(config), self._counters, self._history, hooks),
            running=self.exchange.running,
            quiet=self._quiet.is_set,
            signal=self.command,
            pause=self.exchange.pause,
            orders=orders,
            outage=outage,
        )
        observers.append(self._pulse)
        self._endpoint: Endpoint | None = None
        self.started = threading.Event()  # jobs are taken

    def _report(
        self,
        started: Sequence[Started],
        settled: Sequence[Settled],
        met: Sequence[Foreign] = (),
        taken: Sequence[Takeover] = (),
    ) -> None:
        self._reporter(started, settled, met, taken)  # made later than who reports

    def fleet(self) -> Fleet:
        """What the last beat saw of the fleet."""
        return self._pulse.fleet

    def command(self, name: str) -> None:
        """Deliver a signal by name, one of `signals.NAMES`. What nobody knows is logged and ignored."""
        if name in signals.STOPPING and self._on_terminal:
            now = time.monotonic()
            if self._asked_at is None:
                self._asked_at = now
            elif name == "INT" and now - self._asked_at > signals.ONE_PRESS:
                self.exchange.hurry()  # here: the main thread may be waiting for a `shutdown` hook
        self._commands.put(name)

    def is_quiet(self) -> bool:
        """Whether it takes no more jobs."""
        return self._quiet.is_set()

    def is_answered(self) -> bool:
        """Whether it has started, its `startup` hooks included, and Redis answered the last turn."""
        return self.started.is_set() and self.exchange.answering

    def run(self) -> int:
        """Run until stopped; returns the exit code. Installs signal handlers when in the main thread."""
        in_main = threading.current_thread() is threading.main_thread()
        restore = signals.install(self.command) if in_main and not self._embedded else lambda: None
        try:
            return self._run()
        finally:
            restore()

    def _run(self) -> int:
        if not self._start():
            return 1
        clean = False
        ended = threading.Event()

        def exchange() -> None:
            nonlocal clean
            try:
                # A thread of a free-threaded Python 3.14 begins with the variables of whoever started it, and so would
                # every job: with the request, say, in which a web application has started its worker.
                clean = Context().run(self.exchange.run)
            except BaseException:
                log.critical("exchange_failed", exc_info=True, next="this process ends; its jobs are taken over")
            finally:
                ended.set()
                self._commands.put("")

        threading.Thread(target=exchange, name="pykiq-exchange", daemon=True).start()
        while not ended.is_set():
            # Not for ever: the system may hand a signal to another thread while the main one begins to wait, and its
            # handler runs when the main thread next runs Python code: a TERM on the heels of another went unheard.
            with suppress(Empty):
                self._obey(self._commands.get(timeout=LISTENING))
            self._systemd.beat(self._alive)
            log_output.flush(FLUSHING)
        return self._wind_up(clean)

    def _start(self) -> bool:
        probe(self._pulse.client, self.config)
        if self.config.metrics_port is not None:
            from pykiq.observe.endpoint import Endpoint  # a megabyte and a half, for those who serve metrics

            self._endpoint = Endpoint(
                self.config.metrics_host,
                self.config.metrics_port,
                registry=lambda: self.metrics.registry,
                alive=self._alive,
                ready=self._ready,
            ).start()
            self._endpoint.announce()
        self._hooks.fire("startup")
        try:
            runtime.check()  # a hook may have imported what patches
        except BaseException:
            self._close_endpoint()
            raise
        self._reporter.start()
        try:
            if self._handlers.any_async():
                self._loop.start()  # now: at the first such job there may be no descriptor left for it
            self._pulse.start()
        except (redis.RedisError, OSError) as error:
            log.error("cannot_start", error=str(error))
            self._reporter.close(5.0)
            self._close_endpoint()
            self._loop.close()
            return False
        if not self._embedded:
            # What is there by now stays: to look through all of it for garbage stopped every thread for 30 ms.
            gc.collect()
            gc.freeze()
        self._poller.start()
        self._sweeper.start()
        log.info("running", identity=self.identity, dialect=chosen(self.config.wire, self.fleet()).name)
        self.started.set()
        self._systemd.ready()
        return True

    def _obey(self, name: str) -> None:
        match name:
            case "TSTP":
                self._be_quiet()
            case "TERM" | "INT" | "HUP":
                self._stop()
            case "TTIN":
                for what, stack in signals.stacks(self.exchange.tasks()).items():
                    log.warning("stack", of=what, stack=stack)
            case "":
                return
            case _:
                log.warning("unknown_signal", name=name)

    def _be_quiet(self) -> None:
        if self._take_no_more():
            self._hooks.fire("quiet")

    def _take_no_more(self) -> bool:
        """Whether it took jobs until now."""
        if self._quiet.is_set():
            return False
        self._quiet.set()
        log.info("quiet", next="no more jobs are taken; TERM stops the process")
        self.exchange.quiet()
        self._pulse.hurry()
        self._poller.stop()
        self._sweeper.stop()
        return True

    def _stop(self) -> None:
        if not self._stopping.is_set():
            until_now = self._take_no_more()
            self._stopping.set()
            self._systemd.stopping()
            again = {"next": signals.AGAIN} if self._on_terminal else {}
            log.info("stopping", timeout=self.config.timeout, running=len(self.exchange.running()), **again)
            self.exchange.stop(self.config.timeout)
            # Hooks come last: one that hangs must not keep the jobs that run from being put back.
            if until_now:
                self._hooks.fire("quiet")
            self._hooks.fire("shutdown")

    def _wind_up(self, clean: bool) -> int:
        self._be_quiet()
        self._poller.close()
        self._sweeper.close()
        self._reporter.close(5.0)
        self._pulse.halt()  # before the lease is given up: it would take it again
        try:
            # In doubt the lease is left to run out: whoever sweeps then finds what came after this process had gone.
            left = clean and (self.exchange.in_doubt or self.berth.leave(self._pulse.client))
        except (redis.RedisError, OSError):
            left = False
        self._pulse.close()
        self._hooks.fire("exit")
        self._close_endpoint()
        self._loop.close()
        self._executor.close()
        log.info("stopped", clean=bool(left))
        return 0 if left else 1

    def _close_endpoint(self) -> None:
        if self._endpoint:
            self._endpoint.stop()

    def _alive(self) -> bool:
        return time.monotonic() - self.exchange.turned_at < STUCK

    def _ready(self) -> bool | str:
        """True, or why no jobs are taken."""
        if not self.started.is_set():
            return "starting"
        if self._quiet.is_set():
            return "quiet or stopping"
        if not self._alive():
            return "the loop that moves jobs does not turn"
        return True if self.exchange.answering else "Redis does not answer"

    def _door_client(self) -> redis.Redis:
        return connect(self.config, timeout=BLOCK + MARGIN, connecting=CONNECTING)

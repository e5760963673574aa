"""The swarm: one parent that has loaded the handlers, forks children that share them, and replaces those that end.

The parent moves no job. It forks for as long as it lives, so it has no threads and no connections of its own, not even
to Redis: it starts children, waits for signals and for ends, and looks at the board. What needs more than that is done
by a child of another kind, the keeper.

Exit codes: 0 every child has stopped cleanly; 1 one has crashed since the swarm was told to be quiet or to stop, or had
to be killed (its jobs are taken over).
"""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pykiq.config import Config
from pykiq.jobs.lifecycle import Lifecycle, lifecycle
from pykiq.logger import get_logger
from pykiq.observe import heartbeat
from pykiq.observe import log as log_output
from pykiq.observe.backlog import Backlog
from pykiq.observe.board import ALIVE, DEAD, FREE, Board, Post, Report
from pykiq.observe.heartbeat import STUCK
from pykiq.observe.merged import Merged
from pykiq.observe.systemd import Systemd
from pykiq.store.connection import connect
from pykiq.worker import signals
from pykiq.worker.child import run_child
from pykiq.worker.descriptors import make_room
from pykiq.worker.ears import Ears
from pykiq.worker.fork import ended, fork, how
from pykiq.worker.keeper import GRACE, LAST_TAKEOVERS, Keeper
from pykiq.worker.restarts import Restarts
from pykiq.worker.tether import Tether

if TYPE_CHECKING:
    from pykiq.observe.endpoint import Endpoint

CANNOT_FORK = 5.0  # seconds until the next attempt when the system has no room for another process
TICK = 1.0  # seconds between two looks at the children
SPARE = 8  # rows of the board for children whose jobs are still to be taken over, beside two for each place

log = get_logger()


@dataclass
class Place:
    """One of the N. `due` is when its next child starts (monotonic), None while it has one or shall have none."""

    number: int
    due: float | None = 0.0
    restarts: Restarts = field(default_factory=Restarts)


@dataclass
class Child:
    """A process that was forked. `killed_at` is when its time to stop is over (monotonic)."""

    pid: int
    row: int
    place: Place
    started: float  # monotonic
    recycling: bool = False
    killed_at: float | None = None
    stuck: bool = False


class Swarm:
    """The parent. `run` returns in the parent and in each child: what follows it happens in all of them."""

    def __init__(self, config: Config, *, hooks: Lifecycle = lifecycle, systemd: Systemd | None = None) -> None:
        make_room(config)
        self._config = config
        self._hooks = hooks
        self._systemd = systemd or Systemd({})
        count = config.processes or 1
        self._places = [Place(number) for number in range(count)]
        self._children: list[Child] = []
        self._keeper: Child | None = None
        self._keeper_place = Place(count)
        self._quiet = self._stopping = self._unclean = False
        self._crashed = self._recycled = 0
        self._board = Board(2 * count + SPARE)
        self._merged: Merged | None = None
        self._endpoint: Endpoint | None = None
        if config.metrics_port is not None:
            from pykiq.observe.endpoint import Endpoint  # as in Process

            backlog = Backlog(lambda: connect(config, timeout=1.0), config.queues)
            self._merged = merged = Merged(
                self._board,
                concurrency=config.concurrency,
                backlog=backlog,
                max_classes=config.metrics_max_classes,
            )
            self._endpoint = Endpoint(
                *(config.metrics_host, config.metrics_port),
                registry=lambda: merged.registry,
                alive=self._merged.alive,
                ready=self._merged.ready,
            )
        self._tether = Tether()  # last: a port that is taken must not leave its descriptors open

    def run(self) -> int:
        """Run until all children have stopped; returns the exit code. In a child it returns that of the child."""
        log_output.share()
        self._announce()
        gc.collect()
        gc.freeze()  # a collection in a child would otherwise write to, and so copy, every page of the handlers
        self._ears = Ears()
        while not self._over():
            begin = self._start_missing()
            if begin is not None:
                return begin()
            for number in self._ears.wait(TICK):
                self._obey(number)
            log_output.flush()
            self._reap()
            for child in self._children:
                self._look_at(child)
            self._tell_systemd()
        return self._end()

    def _tell_systemd(self) -> None:
        """A child that hangs silences the watchdog, as it does `/live`: who sets one wants what hangs restarted."""
        if any(row.report.answering for row in self._board.in_state(ALIVE)):
            self._systemd.ready()
        if self._stopping:
            self._systemd.stopping()
        self._systemd.beat(lambda: not any(child.stuck for child in self._children))

    def _announce(self) -> None:
        limit = self._config.max_rss
        log.info("swarm", pid=os.getpid(), processes=len(self._places), max_rss=limit and f"{limit} MB")
        if self._endpoint:
            self._endpoint.announce()
        others = [thread.name for thread in threading.enumerate() if thread is not threading.current_thread()]
        if others:
            log.warning("threads_before_fork", threads=others, next="no child has them; start them in a `startup` hook")

    # Starting.

    def _start_missing(self) -> Callable[[], int] | None:
        """Fork whoever is due. In the new process: what it has to do."""
        now = time.monotonic()
        if self._is_due(self._keeper_place, now):
            begin = self._start_keeper()
            if begin is not None:
                return begin
        for place in self._places:
            if not self._quiet and self._is_due(place, now) and (row := self._board.take()) is not None:
                begin = self._start_child(place, row)
                if begin is not None:
                    return begin
        return None

    @staticmethod
    def _is_due(place: Place, now: float) -> bool:
        return place.due is not None and place.due <= now

    def _start_child(self, place: Place, row: int) -> Callable[[], int] | None:
        nonce, started = os.urandom(6).hex(), time.monotonic()
        pid = self._fork(place)
        if pid is None:
            return None
        if pid == 0:
            self._tether.of_child()
            if self._endpoint:
                self._endpoint.stop()
            return lambda: run_child(self._config, self._board, row, nonce, self._tether)
        self._board.post(row, Post(pid, place.number, started, nonce))
        self._children.append(Child(pid, row, place, started))
        place.due = None
        identity = heartbeat.identity(heartbeat.hostname(os.environ), pid, nonce)
        log.info("child_started", pid=pid, place=place.number, identity=identity)
        return None

    def _start_keeper(self) -> Callable[[], int] | None:
        place = self._keeper_place
        pid = self._fork(place)
        if pid == 0:
            self._tether.of_keeper()
            return self._keep
        if pid is not None:
            place.due = None
            self._keeper = Child(pid, -1, place, time.monotonic())
            log.info("keeper_started", pid=pid)
        return None

    def _keep(self) -> int:
        """The keeper's life. It ends here: what the modules have registered for the exit is for the others."""
        code = 1
        try:
            Keeper(self._config, self._board, self._tether, self._hooks, self._merged, self._endpoint).run()
            code = 0
        except BaseException:
            log.critical("keeper_failed", exc_info=True, next="the parent starts another one")
        os._exit(code)

    def _fork(self, place: Place) -> int | None:
        """The pid of the new process, 0 in it; None when there can be none now."""
        try:
            pid = fork()
        except OSError as error:
            place.due = time.monotonic() + CANNOT_FORK
            log.error("cannot_fork", error=str(error), next=f"again in {CANNOT_FORK:g} s")
            return None
        if pid == 0:
            self._ears.close()
        return pid

    # Signals.

    def _obey(self, number: int) -> None:
        if number not in signals.NUMBERS:
            return
        if number == signal.SIGTSTP and not self._quiet:
            self._quiet = True
            log.info("quiet", next="no child takes jobs, none is replaced; TERM stops them")
        if number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP) and not self._stopping:
            self._quiet = self._stopping = True
            again = {"next": signals.AGAIN} if signals.on_terminal() else {}
            log.info("stopping", timeout=self._config.timeout, children=len(self._children), **again)
            for child in self._children:
                self._stop(child)
        else:
            for child in self._children:
                self._signal(child, number)

    def _stop(self, child: Child) -> None:
        self._signal(child, signal.SIGTERM)
        if child.killed_at is None:
            child.killed_at = time.monotonic() + self._config.timeout + GRACE

    @staticmethod
    def _signal(child: Child, number: int) -> None:
        with suppress(ProcessLookupError):  # not reaped yet, so no other process can have its number
            os.kill(child.pid, number)

    # Ends.

    def _reap(self) -> None:
        for child in tuple(self._children):
            code = ended(child.pid)
            if code is not None:
                self._children.remove(child)
                self._account(child, code)
        keeper, now = self._keeper, time.monotonic()
        if keeper is not None and (code := ended(keeper.pid)) is not None:
            rest = keeper.place.restarts.ended(now - keeper.started)
            self._keeper, keeper.place.due = None, now + rest
            log.error("keeper_crashed", pid=keeper.pid, how=how(code), next=_soon(rest))

    def _account(self, child: Child, code: int) -> None:
        """A child has ended: what is said, what is taken over, when there is another one in its place."""
        now, place = time.monotonic(), child.place
        clean = code == 0 and self._board.row(child.row).report.stopped
        self._board.mark(child.row, FREE if clean else DEAD)
        self._tether.ring()
        told = {"pid": child.pid, "place": place.number, "lived": round(now - child.started, 1)}
        if clean:
            asked = child.recycling or self._stopping
            log.info("child_stopped", **told, next=None if asked else "not replaced: it was told to stop")
            return
        self._unclean = self._unclean or self._quiet
        self._crashed += 1
        self._count()
        following = "not replaced" if self._quiet else "its replacement has been started"
        if not self._quiet and not child.recycling:
            rest = place.restarts.ended(now - child.started)
            place.due = now + rest
            following = _soon(rest)
        log.error("child_crashed", **told, how=how(code), next=f"its jobs are taken over; {following}")

    def _count(self) -> None:
        self._board.count(crashed=self._crashed, recycled=self._recycled)

    # Looking after them.

    def _look_at(self, child: Child) -> None:
        now, report = time.monotonic(), self._board.row(child.row).report
        if (now - report.turned > STUCK) is not child.stuck:
            child.stuck = not child.stuck
            log.warning("child_stuck" if child.stuck else "child_turns_again", pid=child.pid, place=child.place.number)
        if child.killed_at is not None:
            if now > child.killed_at:
                log.error("child_killed", pid=child.pid, why="it has not stopped in time")
                self._signal(child, signal.SIGKILL)
        elif child.recycling:
            if report.quiet and not report.busy:
                self._stop(child)
        elif self._is_too_big(child, now, report):
            self._recycle(child, now, report)

    def _is_too_big(self, child: Child, now: float, report: Report) -> bool:
        limit = self._config.max_rss
        if limit is None or self._quiet or report.rss_kb <= limit * 1024:
            return False
        lived = now - child.started
        # One at a time in a place, and not at once again: with a limit below what the handlers need it would never end.
        return lived >= child.place.restarts.rest(lived) and not any(
            other.recycling for other in self._children if other.place is child.place
        )

    def _recycle(self, child: Child, now: float, report: Report) -> None:
        """Let it finish what it runs, and start its replacement beside it."""
        child.recycling = True
        child.place.restarts.ended(now - child.started)
        child.place.due = now
        self._recycled += 1
        self._count()
        told = {"pid": child.pid, "place": child.place.number, "rss_mb": report.rss_kb // 1024}
        log.info("child_recycled", **told, next="it stops after the jobs it runs; its replacement starts now")
        self._signal(child, signal.SIGTSTP)

    # The end.

    def _over(self) -> bool:
        """Whether all have ended that should, and nobody shall follow."""
        return not self._children and (self._stopping or all(place.due is None for place in self._places))

    def _end(self) -> int:
        self._tether.let_go()
        deadline = time.monotonic() + LAST_TAKEOVERS + GRACE
        while self._keeper is not None and ended(self._keeper.pid) is None:
            if time.monotonic() > deadline:
                self._signal(self._keeper, signal.SIGKILL)
            self._ears.wait(TICK)
        self._tether.close()
        if self._endpoint:
            self._endpoint.stop()
        log.info("stopped", clean=not self._unclean)
        return int(self._unclean)


def _soon(rest: float) -> str:
    return f"replaced in {rest:g} s" if rest else "replaced at once"

"""The keeper of a swarm: leases, takeovers and the metrics port, in a process of its own beside the children.

Not in the parent, which forks again and again and so may have neither threads nor connections. And not in the children,
each of which may be held up for minutes by a handler that does not let go of the interpreter.

It extends the lease of every child that lives, also of one that hangs. It takes over at once what a child that crashed
had in flight: its end has been seen, so there is no lease to wait for. The parent sees it first, unless that is frozen.
What it takes over, and what becomes a poison pill then, is told on a thread of its own, which runs users' death and
error handlers; no `startup` hook has run here. When the parent is gone the keeper stays until the children have ended,
and kills those that do not.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import redis

from pykiq.config import Config
from pykiq.jobs.lifecycle import Lifecycle
from pykiq.logger import get_logger
from pykiq.observe import heartbeat
from pykiq.observe import log as log_output
from pykiq.observe.board import ALIVE, DEAD, FREE, Board, Row
from pykiq.observe.joblog import JobLog
from pykiq.observe.merged import Merged, unpack
from pykiq.observe.observer import Observer
from pykiq.observe.prometheus import Tallying
from pykiq.store import fleet, reclaim
from pykiq.store.claim import Berth
from pykiq.store.connection import connect
from pykiq.store.fleet import Fleet
from pykiq.store.outage import Outage
from pykiq.worker import signals
from pykiq.worker.burials import carry_out
from pykiq.worker.descriptors import readable
from pykiq.worker.failing import Failing
from pykiq.worker.reporter import Reporter
from pykiq.worker.tether import Tether

if TYPE_CHECKING:
    from pykiq.observe.endpoint import Endpoint

BREATH = 1.0  # seconds between two looks at the board, at most
GRACE = 20.0  # seconds beyond the time-out of a stop after which a child that has not ended is killed
LAST_TAKEOVERS = 10.0  # seconds for what is to be taken over when the children have ended
LAST_WORDS = 5.0  # seconds for what is left to be told then

log = get_logger()


class Keeper:
    """The body of the keeper's process. `merged` and `endpoint` are there when metrics are served."""

    def __init__(
        self,
        config: Config,
        board: Board,
        tether: Tether,
        hooks: Lifecycle,
        merged: Merged | None,
        endpoint: Endpoint | None,
    ) -> None:
        self._config = config
        self._board = board
        self._tether = tether
        self._merged = merged
        self._endpoint = endpoint
        self._host = heartbeat.hostname(os.environ)
        self._client = connect(config)
        self._fleet = Fleet()
        self._outage = Outage()
        self._failing = Failing(config, lambda: self._fleet, hooks)
        observers: list[Observer] = [JobLog()]
        if merged:
            observers.append(Tallying(merged.tally))
        self._reporter = Reporter(observers, hooks)
        self._breath = min(BREATH, config.lease_ttl / 4)
        self._renew_at = 0.0
        self._gone: set[int] = set()  # pids of children that had ended before there was a handle
        self._inherited: set[int] = set()  # pids whose jobs have been taken over before the parent saw their end
        self._handles: dict[int, int] = {}  # pid → what is readable when that process has ended, where the system can

    def run(self) -> None:
        """Keep until the parent has gone, and the children."""
        for number in signals.NUMBERS:
            signal.signal(number, signal.SIG_IGN)  # a terminal or systemd tells the whole group; the parent decides
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.NUMBERS)
        self._reporter.start()
        if self._endpoint:
            self._endpoint.start()
        watched = (self._tether.life, self._tether.bell, self._tether.reports.fileno())
        while self._tether.life not in (ready := readable(watched, self._breath)):
            if self._tether.bell in ready:
                os.read(self._tether.bell, 4096)
            self._keep()
        if self._endpoint:
            self._endpoint.stop()  # first of all: the parent's successor may be waiting for the port
        self._outlive()
        self._reporter.close(LAST_WORDS)
        log_output.flush(BREATH)

    def _keep(self) -> None:
        log_output.flush()
        self._listen()
        self._hold()
        if time.monotonic() >= self._renew_at:
            self._guarded("leases_not_extended", self._renew)
        for row in list(self._board.in_state(DEAD)):
            self._guarded("not_taken_over", partial(self._take_over, row))
        for row in list(self._board.in_state(ALIVE)):
            if row.post.pid not in self._inherited and not row.report.stopped and self._has_ended(row):
                self._guarded("not_taken_over", partial(self._take_over_early, row))

    def _guarded(self, event: str, work: Callable[[], None]) -> None:
        try:
            work()
        except (redis.RedisError, OSError) as error:
            self._outage.failed(event, error)
        else:
            self._outage.answered(event)

    def _listen(self) -> None:
        while (datagram := self._tether.heard()) is not None:
            if self._merged:
                self._merged.tally.add(unpack(datagram))

    def _renew(self) -> None:
        """Extend what leases there are. A child that has given its own up must not get it back: no SET.

        Nor one that has ended, of which a parent that is frozen does not tell: its jobs would wait for the parent.
        """
        pipeline = self._client.pipeline(transaction=False)
        for row in self._board.in_state(ALIVE):
            if not self._has_ended(row):
                pipeline.pexpire(self._berth(row).lease, int(self._config.lease_ttl * 1000))
        pipeline.execute()
        self._renew_at = time.monotonic() + self._config.lease_ttl / 4

    def _take_over(self, row: Row) -> None:
        self._take_jobs(row)
        self._board.mark(row.number, FREE)

    def _take_over_early(self, row: Row) -> None:
        """The parent has not seen this child's end. The row is the parent's to mark: then it is looked at again."""
        self._take_jobs(row)
        self._inherited.add(row.post.pid)

    def _take_jobs(self, row: Row) -> None:
        self._fleet = fleet.shared(self._client)
        taken = reclaim.take_over(self._client, self._berth(row), self._config, self._failing.poison_entry)
        carry_out(taken, self._reporter)

    def _berth(self, row: Row) -> Berth:
        identity = heartbeat.identity(self._host, row.post.pid, row.post.nonce)
        return Berth(identity, self._config.queues, self._config.lease_ttl)

    # When the parent is gone.

    def _outlive(self) -> None:
        """Keep on until no child is left; the parent, when it ended of its own accord, has left none."""
        deadline = time.monotonic() + self._config.timeout + GRACE
        while any(self._board.in_state(ALIVE)) and time.monotonic() < deadline + LAST_TAKEOVERS:
            self._keep()
            self._bury(kill=time.monotonic() > deadline)
            readable(self._handles.values(), self._breath)
        deadline = time.monotonic() + LAST_TAKEOVERS
        while any(self._board.in_state(DEAD)) and time.monotonic() < deadline:
            self._keep()
            time.sleep(0.1)

    def _hold(self) -> None:
        """Have a handle of every child: without its parent nobody else can tell it from a later one of that number."""
        alive = {row.post.pid for row in self._board.in_state(ALIVE)}
        for pid in alive - set(self._handles):
            try:
                self._handles[pid] = os.pidfd_open(pid)
            except ProcessLookupError:
                self._gone.add(pid)
            except (OSError, AttributeError):
                pass  # none to be had: not Linux, an old kernel, a sandbox, no descriptor left. It may well be alive
        for pid in set(self._handles) - alive:
            os.close(self._handles.pop(pid))
        self._inherited &= alive

    def _has_ended(self, row: Row) -> bool:
        """Whether that child has ended, as far as can be told: its parent need not have seen it."""
        handle = self._handles.get(row.post.pid)
        return row.post.pid in self._gone or (handle is not None and bool(readable([handle], 0)))

    def _bury(self, *, kill: bool) -> None:
        """Do for the children what the parent did: see who has ended, and what is to be taken over."""
        for row in self._board.in_state(ALIVE):
            handle = self._handles.get(row.post.pid)
            if row.report.stopped:
                self._board.mark(row.number, FREE)
            elif self._has_ended(row):
                self._board.mark(row.number, DEAD)
            elif handle is None:
                self._board.mark(row.number, FREE)  # nobody can tell: its lease, which only it renews now, decides
            elif kill:
                log.error("child_killed", pid=row.post.pid, next="its jobs are taken over")
                with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                    signal.pidfd_send_signal(handle, signal.SIGKILL)

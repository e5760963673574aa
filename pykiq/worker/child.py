"""One child of a swarm: a whole worker process that tells its parent how it is, and stops when the parent is gone."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace

from pykiq.config import Config
from pykiq.logger import get_logger
from pykiq.observe.board import Board, Report
from pykiq.observe.memory import rss_kb
from pykiq.observe.merged import pack
from pykiq.observe.tally import sendable
from pykiq.worker import signals
from pykiq.worker.process import Process
from pykiq.worker.tether import Tether

PERIOD = 1.0  # seconds between two reports

log = get_logger()


def run_child(config: Config, board: Board, row: int, nonce: str, tether: Tether) -> int:
    """Be a child until told to stop; returns the exit code. The signals are blocked when this is called.

    What the parent sends meanwhile is waiting, and is delivered when there is a process to obey it.
    """
    process = Process(replace(config, metrics_port=None), nonce=nonce)
    signals.install(process.command)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.NUMBERS)
    link = Link(process, board, row, tether, counting=config.metrics_port is not None)
    link.start()
    code = process.run()
    link.close(clean=code == 0)
    return code


class Link:
    """Reports once a second, and watches the parent, each on a thread of its own."""

    def __init__(self, process: Process, board: Board, row: int, tether: Tether, *, counting: bool) -> None:
        self._process = process
        self._board = board
        self._row = row
        self._tether = tether
        self._counting = counting
        self._closed = threading.Event()
        self._reporter = threading.Thread(target=self._keep_reporting, name="pykiq-report", daemon=True)
        self._watcher = threading.Thread(target=self._watch, name="pykiq-parent", daemon=True)

    def start(self) -> None:
        self._reporter.start()
        self._watcher.start()

    def close(self, *, clean: bool) -> None:
        """The last report; `clean` tells that nothing is left to take over."""
        self._closed.set()
        self._reporter.join(PERIOD)
        self._report(stopped=clean)

    def _keep_reporting(self) -> None:
        while not self._closed.wait(PERIOD):
            self._report()

    def _report(self, *, stopped: bool = False) -> None:
        exchange = self._process.exchange
        quiet = self._process.is_quiet()  # before the count of jobs: what is quiet and idle stays idle
        busy = len(exchange.running())
        answered = self._process.is_answered()
        turned = exchange.turned_at if self._process.started.is_set() else time.monotonic()  # `startup` hooks take long
        how = Report(*(turned, rss_kb(), busy, exchange.in_flight()), quiet, answered, stopped)
        self._board.report(self._row, how)
        if self._counting:
            self._send()

    def _send(self) -> None:
        """Send what has been counted since the last time; what cannot be sent now is sent later."""
        tally = self._process.metrics.tally
        for portion in sendable(tally.take()):
            try:
                self._tether.report(pack(portion))
            except OSError:
                tally.add(portion)

    def _watch(self) -> None:
        os.read(self._tether.life, 1)  # nothing is ever written: this is the end of the parent
        log.warning("parent_gone", next="this process stops")
        self._process.command("TERM")

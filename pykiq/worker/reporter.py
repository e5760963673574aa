"""Reporting: one thread that tells observers and the users' handlers what happened, a batch per turn.

The exchange only puts a batch into a queue here. A log sink that hangs, a metric that raises, a death handler that
takes a minute: none of them stops the loop or loses a job.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Protocol

import structlog

from pykiq.jobs.lifecycle import Lifecycle
from pykiq.records import Assigned, Fate, Foreign, Settled

_Batch = tuple[Sequence[Assigned], Sequence[Settled], Sequence[Foreign]]

log = structlog.get_logger("pykiq")


class Observer(Protocol):
    """What the log, the metrics and the counters have in common."""

    def started(self, batch: Sequence[Assigned]) -> None: ...
    def settled(self, batch: Sequence[Settled]) -> None: ...


class Lookout(Protocol):
    """An observer that is also told of the foreign jobs in shared queues."""

    def met(self, batch: Sequence[Foreign]) -> None: ...


class Reporter:
    """Feeds observers from its own thread."""

    def __init__(self, observers: Sequence[Observer], lifecycle: Lifecycle, lookouts: Sequence[Lookout] = ()) -> None:
        self._observers = observers
        self._lookouts = lookouts
        self._lifecycle = lifecycle
        self._batches: SimpleQueue[_Batch | None] = SimpleQueue()
        self._complained: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="pykiq-reporter", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def __call__(self, started: Sequence[Assigned], settled: Sequence[Settled], met: Sequence[Foreign] = ()) -> None:
        """Take a turn's batch; never blocks."""
        self._batches.put((started, settled, met))

    def close(self, timeout: float) -> None:
        """Report what is left, for up to `timeout` seconds."""
        self._batches.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            self._report(*batch)
            del batch  # exceptions hold whole call stacks: not until the next batch

    def _report(self, started: Sequence[Assigned], settled: Sequence[Settled], met: Sequence[Foreign]) -> None:
        """Whatever an observer or a handler does, one that exits too: the next batch is reported."""
        for observer in self._observers:
            try:
                if started:
                    observer.started(started)
                if settled:
                    observer.settled(settled)
            except BaseException:
                self._complain(observer)
        for lookout in self._lookouts if met else ():
            try:
                lookout.met(met)
            except BaseException:
                self._complain(lookout)
        for one in settled:
            if one.outcome.raised is not None:
                try:
                    tell(self._lifecycle, one)
                except BaseException:
                    log.error("handler_failed", jid=one.outcome.jid, exc_info=True)

    def _complain(self, observer: Observer | Lookout) -> None:
        name = type(observer).__name__
        if name not in self._complained:  # once: a broken sink would otherwise fill the log it cannot write
            self._complained.add(name)
            log.error("observer_failed", observer=name, exc_info=True)


def tell(lifecycle: Lifecycle, settled: Settled, loop: asyncio.AbstractEventLoop | None = None) -> None:
    """Death handlers after the write to `dead`, error handlers last (WIRE.md §7e). Not for jobs taken over.

    `async def` handlers run on `loop`, which runs in another thread; without one, each on a loop of its own.
    """
    if settled.fate is Fate.TAKEN_OVER or settled.outcome.raised is None:
        return
    job, error, _ = settled.outcome.raised
    for hook, broken in settled.outcome.broken_hooks:
        lifecycle.fire_error(broken, {"context": hook, "job": job}, loop=loop)
    if settled.outcome.died:
        lifecycle.fire_death(job, error, loop=loop)
    lifecycle.fire_error(error, {"context": "job", "job": job, "queue": settled.outcome.claimed.queue}, loop=loop)

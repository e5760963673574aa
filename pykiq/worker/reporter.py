"""Reporting: one thread that tells observers and the users' handlers what happened, a batch per turn.

The exchange only puts a batch into a queue here. A log sink that hangs, a metric that raises, a death handler that
takes a minute: none of them stops the loop or loses a job.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from queue import SimpleQueue

import structlog

from pykiq.jobs.lifecycle import Lifecycle
from pykiq.observe.observer import Observer, by_kind
from pykiq.records import Assigned, Fate, Foreign, Settled

_Batch = tuple[Sequence[Assigned], Sequence[Settled], Sequence[Foreign]]

log = structlog.get_logger("pykiq")


class Reporter:
    """Feeds observers from its own thread."""

    def __init__(self, observers: Sequence[Observer], lifecycle: Lifecycle) -> None:
        self._observers = observers
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
        kinds = by_kind(settled)
        for observer in self._observers:
            try:
                if started:
                    observer.started(started)
                if settled:
                    observer.settled(settled)
                    observer.counted(kinds)
                if met:
                    observer.met(met)
            except BaseException:
                self._complain(observer)
        for one in settled:
            if one.outcome.raised is not None:
                try:
                    tell(self._lifecycle, one)
                except BaseException:
                    log.error("handler_failed", jid=one.outcome.jid, exc_info=True)

    def _complain(self, observer: Observer) -> None:
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

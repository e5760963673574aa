"""Reporting: one thread that tells observers and the users' handlers what happened, a batch per turn.

The exchange only puts a batch into a queue here. A log sink that hangs, a metric that raises, a death handler that
takes a minute: none of them stops the loop or loses a job.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from queue import SimpleQueue

from pykiq.errors import PoisonPill, PykiqError, Unreadable
from pykiq.jobs.lifecycle import Lifecycle
from pykiq.logger import get_logger
from pykiq.observe.observer import Observer, by_kind
from pykiq.records import Bury, Fate, Foreign, Outcome, Raised, Settled, Started, Takeover, Word
from pykiq.wire.payload import as_job

_Batch = tuple[Sequence[Started], Sequence[Settled], Sequence[Foreign], Sequence[Takeover]]

MOST = 1000  # settled jobs of one report
GATHERING = 0.02  # seconds between two batches: to be woken for each job costs more than to tell of it

_DEAD = Fate.DEAD
_KINDS: dict[Word, type[PykiqError]] = {Word.POISON: PoisonPill, Word.UNREADABLE: Unreadable}

log = get_logger()


class Reporter:
    """Feeds observers from its own thread."""

    def __init__(self, observers: Sequence[Observer], lifecycle: Lifecycle) -> None:
        self._observers = observers
        self._lifecycle = lifecycle
        self._batches: SimpleQueue[_Batch | None] = SimpleQueue()
        self._complained: set[str] = set()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pykiq-reporter", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def __call__(
        self,
        started: Sequence[Started],
        settled: Sequence[Settled],
        met: Sequence[Foreign] = (),
        taken: Sequence[Takeover] = (),
    ) -> None:
        """Take a batch of the exchange's, the poller's or the keeper's; never blocks."""
        self._batches.put((started, settled, met, taken))

    def close(self, timeout: float) -> None:
        """Report what is left, for up to `timeout` seconds."""
        self._batches.put(None)
        self._closed.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        batches = self._batches
        while (batch := batches.get()) is not None:
            self._report(*self._with_more(batch))
            del batch  # exceptions hold whole call stacks: not until the next batch
            if batches.empty():
                self._closed.wait(GATHERING)

    def _with_more(self, batch: _Batch) -> _Batch:
        """A batch and those that wait behind it, as one."""
        if self._batches.empty():
            return batch
        started, settled, met, taken = list(batch[0]), list(batch[1]), list(batch[2]), list(batch[3])
        while len(settled) < MOST and not self._batches.empty():
            more = self._batches.get()
            if more is None:
                self._batches.put(None)
                break
            started += more[0]
            settled += more[1]
            met += more[2]
            taken += more[3]
        return started, settled, met, taken

    def _report(
        self,
        started: Sequence[Started],
        settled: Sequence[Settled],
        met: Sequence[Foreign],
        taken: Sequence[Takeover],
    ) -> None:
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
                if taken:
                    observer.took_over(taken)
            except BaseException:
                self._complain(observer)
        for one in settled:
            if one.outcome.raised is not None or one.fate is _DEAD:
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

    Whatever went to `dead` is told, whether a handler failed or the job never had one. `async def` handlers run on
    `loop`, which runs in another thread; without one, each on a loop of its own.
    """
    outcome, fate = settled
    if fate is Fate.TAKEN_OVER or not lifecycle.listens_to_failures:
        return
    raised = _buried(outcome) if outcome.raised is None and fate is _DEAD else outcome.raised
    if raised is None:
        return
    job, error, _ = raised
    for hook, broken in outcome.broken_hooks:
        lifecycle.fire_error(broken, {"context": hook, "job": job}, loop=loop)
    if outcome.died or fate is _DEAD:
        lifecycle.fire_death(job, error, loop=loop)
    lifecycle.fire_error(error, {"context": "job", "job": job, "queue": outcome.claimed.queue}, loop=loop)


def _buried(outcome: Outcome) -> Raised:
    """What is told of a job that went to `dead` without an exception of a handler's."""
    entry = outcome.write.entry if isinstance(outcome.write, Bury) else outcome.claimed.raw
    error = _KINDS.get(outcome.word, PykiqError)(outcome.error_message or "")
    return Raised(as_job(entry, outcome.claimed.queue), error)

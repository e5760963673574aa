"""Executing: Claimed → Assigned → Outcome. Knows no Redis; runs on worker threads and on the event loop.

Whatever a handler, a middleware or a hook does, an Outcome comes back: every exception is the job's failure, also
`SystemExit` and the like (WIRE.md §6), and only the shutdown's own `Interrupted` is not.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from functools import partial
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any

from pykiq.config import Config
from pykiq.errors import (
    Discard,
    Interrupted,
    Snooze,
    UnknownClass,
    Unreadable,
)
from pykiq.jobs.activejob import active
from pykiq.jobs.context import JobContext, enter, leave
from pykiq.jobs.handler import Handler
from pykiq.jobs.registry import Registry
from pykiq.logger import get_logger
from pykiq.middleware.around import arun_server, run_server
from pykiq.middleware.chain import Chain, ServerMiddleware
from pykiq.records import Acknowledge, Assigned, Bury, Claimed, Later, Outcome, PutBack, Word
from pykiq.wire import expiry, keys, payload
from pykiq.wire.activejob import WRAPPERS
from pykiq.wire.dialect import is_number
from pykiq.wire.exactjson import dumps
from pykiq.worker import again
from pykiq.worker.deadlines import Deadlines, awithin
from pykiq.worker.failing import Failing
from pykiq.worker.loopslots import LoopThread

log = get_logger()

_NOT_RUN = frozenset({CoroutineType, GeneratorType, AsyncGeneratorType})

# Of nearly every job; to look the one up and make the other each time takes longer.
_DONE, _ACKNOWLEDGED = Word.DONE, Acknowledge()


class Executor:
    """Runs jobs with one process's settings. Thread-safe: of a job it holds its deadline, no more."""

    def __init__(
        self,
        config: Config,
        registry: Registry,
        chain: Chain[ServerMiddleware],
        failing: Failing,
        loop: LoopThread,
        stopping: Callable[[], bool],
    ) -> None:
        self._config = config
        self._registry = registry
        self._chain = chain
        self._failing = failing
        self._loop = loop  # where async middleware around `def` handlers runs
        self._stopping = stopping
        self._deadlines = Deadlines()
        self._active: dict[Handler, Handler] = {}  # what runs each handler's ActiveJobs

    def close(self) -> None:
        """End the thread that watches timeouts. Nothing may run any more."""
        self._deadlines.close()

    def classes(self) -> list[str]:
        """The classes that can run here."""
        return self._registry.names()

    def assign(self, claimed: Claimed) -> Assigned | Outcome:
        """Find the handler of a claimed job; an Outcome at once for what cannot run here.

        Never raises: an exception here would end the process, and the job would end the next one that takes it.
        """
        try:
            return self._assign(claimed)
        except Unreadable as error:
            return _unusable(claimed, "Unreadable", str(error))
        except Exception as error:
            log.error("job_not_understood", exc_info=True, next="dead, with its bytes")
            return _unusable(claimed, type(error).__name__, str(error))

    def _assign(self, claimed: Claimed) -> Assigned | Outcome:
        job = payload.parse(claimed.raw)
        name, jid = payload.display_name(job), payload.jid(job)
        wanted = payload.class_name(job)
        handler = self._registry.get(wanted) if wanted else None
        if handler is None and wanted in WRAPPERS:
            wanted = payload.handler_name(job)
            handler = self._of_active_job(wanted)
        if handler is not None:
            assigned = Assigned(claimed, job, handler, name, jid)
            late = expiry.expired(job, claimed.claimed_at)
            return assigned if late is None else _expired(assigned, claimed.claimed_at, late)
        return self._foreign(claimed, name, jid, wanted)

    def _of_active_job(self, name: str | None) -> Handler | None:
        handler = self._registry.get(name) if name else None
        if handler is None:
            return None
        if handler not in self._active:
            self._active[handler] = active(handler)
        return self._active[handler]

    def _foreign(self, claimed: Claimed, name: str, jid: str, wanted: str | None) -> Outcome:
        now = time.time()
        if wanted is not None and self._config.foreign == "leave":
            return Outcome(claimed, Word.FOREIGN, PutBack(), name, jid, now)
        if wanted is None:
            error = UnknownClass("the job names no class: `class` must be a string; fix the entry or delete it")
        else:
            error = UnknownClass(
                f"no handler for `{wanted}` in this process; declare one with @pykiq.job({wanted!r}) in a module that "
                f"--require loads, or leave the class to Ruby (--foreign leave)"
            )
        kill = wanted is not None and self._config.foreign == "dead"
        failed = self._failing.outcome(claimed, None, error, name=name, jid=jid, started_at=now, kill=kill)
        return failed if wanted is None else failed._replace(word=Word.FOREIGN)

    def run(self, assigned: Assigned) -> Outcome:
        """Run a `def` handler in this thread."""
        started_at, started = time.time(), time.perf_counter()
        try:
            late = expiry.expired(assigned.payload, started_at)
            if late is not None:  # while it waited here for a slot
                return _expired(assigned, started_at, late)
            job = self._context(assigned)
            token = enter(job)
            try:
                call = assigned.handler.bind()
                limit = _limit(assigned)
                if limit is not None:
                    call = partial(self._deadlines.within, limit, call)
                if self._chain.entries:
                    loop = self._loop.loop if self._loop.started else None
                    run_server(self._chain, job, lambda: _call(call, _arguments(assigned, job)), loop=loop)
                else:
                    _call(call, _arguments(assigned, job))
            finally:
                leave(token)
        except BaseException as error:
            return self._ended(assigned, error, started_at, time.perf_counter() - started)
        return self._done(assigned, job, started_at, time.perf_counter() - started)

    async def arun(self, assigned: Assigned) -> Outcome:
        """Run an `async def` handler on the running event loop."""
        started_at, started = time.time(), time.perf_counter()
        try:
            late = expiry.expired(assigned.payload, started_at)
            if late is not None:  # while it waited here for a slot
                return _expired(assigned, started_at, late)
            job = self._context(assigned)
            token = enter(job)
            try:
                call = assigned.handler.bind()
                work = self._work(assigned, job, call)
                limit = _limit(assigned)
                if limit is None:
                    await work
                else:
                    await awithin(limit, work)
            finally:
                leave(token)
        except BaseException as error:
            return self._ended(assigned, error, started_at, time.perf_counter() - started)
        return self._done(assigned, job, started_at, time.perf_counter() - started)

    def _work(self, assigned: Assigned, job: JobContext, call: Callable[..., Any]) -> Any:
        """What to await for an `async def` handler."""
        if self._chain.entries:
            return arun_server(self._chain, job, lambda: call(*_arguments(assigned, job)))
        return call(*_arguments(assigned, job))

    def _context(self, assigned: Assigned) -> JobContext:
        claimed, job, _, name, jid = assigned
        return JobContext(job, claimed.queue, jid, name, self._stopping)

    def _done(self, assigned: Assigned, job: JobContext, started_at: float, elapsed: float) -> Outcome:
        claimed, _, _, name, jid = assigned
        done = Outcome(claimed, _DONE, _ACKNOWLEDGED, name, jid, started_at, elapsed)
        if job.active_job is None or job.active_job.verdict is None:
            return done
        token = enter(job)
        try:
            return again.outcome(done, job.active_job, job.active_job.verdict, self._config)
        except BaseException as error:  # a client middleware's
            return self._ended(assigned, error, started_at, elapsed)
        finally:
            leave(token)

    def _dropped(self, assigned: Assigned, started_at: float, elapsed: float, why: str) -> Outcome:
        return Outcome(
            *(assigned.claimed, Word.DONE, Acknowledge(), assigned.name, assigned.jid, started_at, elapsed),
            error_message=why,
            discarded=True,
        )

    def _ended(self, assigned: Assigned, error: BaseException, started_at: float, elapsed: float) -> Outcome:
        """The Outcome of a job that raised."""
        try:
            asked = self._asked_for(assigned, error, started_at, elapsed)
        except Interrupted:
            raise
        except BaseException:
            asked = None  # a Snooze or Discard of the user's own that cannot be read: an error like any other
        try:
            return asked or self._failing.outcome(
                assigned.claimed,
                assigned.handler,
                error,
                name=assigned.name,
                jid=assigned.jid,
                started_at=started_at,
                elapsed=elapsed,
            )
        finally:
            del error  # its traceback holds this very frame: without this, the job's locals live until a collection

    def _asked_for(self, assigned: Assigned, error: BaseException, started_at: float, elapsed: float) -> Outcome | None:
        """The Outcome of an error that is no failure, or None."""
        if isinstance(error, Interrupted) or (isinstance(error, asyncio.CancelledError) and self._stopping()):
            fixed = (assigned.claimed, Word.INTERRUPTED, PutBack(), assigned.name, assigned.jid)
            return Outcome(*fixed, started_at, elapsed)
        if isinstance(error, Discard):
            return self._dropped(assigned, started_at, elapsed, str(error.reason or "discarded by the handler"))
        if isinstance(error, Snooze) and math.isfinite(error.seconds):
            return self._snoozed(assigned, error.seconds, started_at, elapsed)
        return None

    def _snoozed(self, assigned: Assigned, delay: float, started_at: float, elapsed: float) -> Outcome:
        """Into `schedule`, where entries carry no `enqueued_at` (WIRE.md §3)."""
        job = payload.parse(assigned.claimed.raw)
        job.pop("enqueued_at", None)
        entry = dumps(job, self._failing.dialect(job))
        at = time.time() + max(delay, 0.0)
        write = Later(keys.SCHEDULE, at, entry)
        return Outcome(assigned.claimed, Word.SNOOZED, write, assigned.name, assigned.jid, started_at, elapsed)


def _expired(assigned: Assigned, now: float, late: float) -> Outcome:
    """The Outcome of a job that was to start `late` seconds before `now` (epoch s)."""
    return Outcome(
        *(assigned.claimed, Word.EXPIRED, _ACKNOWLEDGED, assigned.name, assigned.jid, now),
        error_message=f"it was to start {late:.1f} s before it was taken",
        discarded=True,
    )


def _unusable(claimed: Claimed, error_class: str, message: str) -> Outcome:
    return Outcome(
        claimed,
        Word.UNREADABLE,
        Bury(payload.legible(claimed.raw)),
        error_class=error_class,
        error_message=message,
        started_at=time.time(),
    )


def _call(call: Callable[..., Any], args: list[Any]) -> None:
    """Run a `def` handler. One that only returned a coroutine or a generator, as plain wrappers do, has not run."""
    returned = call(*args)
    if returned is None or type(returned) not in _NOT_RUN:
        return
    if isinstance(returned, CoroutineType):
        returned.close()  # or Python warns that nobody has awaited it
        raise TypeError(
            "the handler returned a coroutine, which nobody awaits: it is a plain function around an `async def`;"
            " make the wrapper `async def` too"
        )
    raise TypeError(
        "the handler returned a generator, which nobody runs: it is a plain function around one with `yield`;"
        " run through it in the wrapper"
    )


def _arguments(assigned: Assigned, job: JobContext) -> list[Any]:
    """The job's arguments as the middleware left them, which is Ruby's rule (server_middleware_mutation_not_in_retry).

    Raises SignatureMismatch when the handler does not take as many.
    """
    args = payload.arguments(job.payload)
    assigned.handler.check(args)
    return args


def _limit(assigned: Assigned) -> float | None:
    """The job's own `timeout` in seconds, or its handler's."""
    own = assigned.payload.get("timeout")
    return assigned.handler.timeout if own is None or not is_number(own) or own <= 0 else float(own)

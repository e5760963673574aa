"""Running stored jobs by the rules of a worker process, without its threads: the same steps from claim to outcome."""

from __future__ import annotations

import asyncio
import time
from contextvars import copy_context

from pykiq.client.configure import current
from pykiq.errors import Kill
from pykiq.jobs.lifecycle import Lifecycle, lifecycle
from pykiq.jobs.registry import registry
from pykiq.middleware.chain import client_middleware, server_middleware
from pykiq.records import Assigned, Claimed, Outcome, Settled
from pykiq.store.due import Move
from pykiq.store.fleet import Fleet
from pykiq.store.settle import fate
from pykiq.testing.memory import StoredJob
from pykiq.worker.execute import Executor
from pykiq.worker.failing import Failing
from pykiq.worker.loopslots import LoopThread
from pykiq.worker.poller import repush
from pykiq.worker.reporter import tell


class _KeepsErrors(Lifecycle):
    """A worker keeps an exception only if a hook wants it; a test always does."""

    @property
    def listens_to_failures(self) -> bool:
        return True


class Pipeline:
    """The handlers, middleware and hooks of this program, as a worker with its configuration would use them."""

    def __init__(self, loop: LoopThread) -> None:
        config = current()
        self._loop = loop
        self._failing = Failing(config, Fleet, _KeepsErrors())
        self._executor = Executor(config, registry, server_middleware, self._failing, loop, lambda: False)

    def assign(self, job: StoredJob) -> Assigned | Outcome:
        """Find the job's handler."""
        return self._executor.assign(Claimed(job.queue, job.raw, time.time()))

    def repush(self, job: StoredJob) -> Move:
        """What a poller makes of a due job. Its client middleware runs again."""
        return repush(job.raw, time.time(), client_middleware, self._failing.dialect)

    def run(self, assigned: Assigned) -> Outcome:
        """Run a job: `def` in this thread, `async def` on the event loop of the drained jobs."""
        if assigned.handler.is_async:
            return asyncio.run_coroutine_threadsafe(self._executor.arun(assigned), self._loop.loop).result()
        return copy_context().run(self._executor.run, assigned)

    async def arun(self, assigned: Assigned) -> Outcome:
        """Run a job: `async def` on the running event loop, `def` on a thread."""
        if assigned.handler.is_async:
            return await asyncio.create_task(self._executor.arun(assigned))
        return await asyncio.to_thread(self._executor.run, assigned)

    def close(self) -> None:
        """End the thread that watches over timeouts."""
        self._executor.close()

    def tell(self, outcome: Outcome) -> None:
        """Call the death and error handlers."""
        if lifecycle.listens_to_failures:
            tell(lifecycle, Settled(outcome, fate(outcome)), self._loop.loop)


def fatal(outcome: Outcome, *, deaths: bool) -> BaseException | None:
    """The error that a drain raises for this outcome.

    That of a job that died, if `deaths` counts, but not when the handler asked for it with Kill. And what is no
    Exception, whatever became of the job: Ctrl-C, `pytest.fail()`.
    """
    if outcome.raised is None:
        return None
    error = outcome.raised[1]
    if not isinstance(error, Exception):
        return error
    return error if deaths and outcome.died and not isinstance(error, Kill) else None

"""What a test sees of the jobs that were pushed, and how it runs them."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from types import TracebackType
from typing import Any

from pykiq.errors import PykiqError
from pykiq.records import Assigned, Outcome, PutBack
from pykiq.store.due import SETS
from pykiq.store.settle import fate
from pykiq.testing.expected import ANY, Wanted, check
from pykiq.testing.memory import Memory, StoredJob, score
from pykiq.testing.pipeline import Pipeline, fatal
from pykiq.version import FOLDER
from pykiq.wire import keys
from pykiq.worker.loopslots import LoopThread

LIMIT = 10_000  # executions in one drain, beside those of the jobs that wait when it begins


class Jobs:
    """The jobs of a test, or those of one class or queue of it: `of_class` and `in_queue` narrow what is seen.

    Its length and its iteration are those of `jobs`.
    """

    def __init__(
        self, memory: Memory, loop: LoopThread, *, job_class: str | None = None, queue: str | None = None
    ) -> None:
        self._memory = memory
        self._loop = loop
        self._class = job_class
        self._queue = queue

    def of_class(self, job_class: object) -> Jobs:
        """Only the jobs of a class: its name, or the handler, Job class or remote class itself."""
        return Jobs(self._memory, self._loop, job_class=_name(job_class), queue=self._queue)

    def in_queue(self, queue: str) -> Jobs:
        """Only the jobs of a queue."""
        return Jobs(self._memory, self._loop, job_class=self._class, queue=queue)

    @property
    def jobs(self) -> list[StoredJob]:
        """What waits: the jobs in queues in the order of their pushes, then the scheduled ones, the earliest first."""
        return self._mine([*self._memory.queued, *self._memory.scheduled(keys.SCHEDULE)])

    @property
    def retries(self) -> list[StoredJob]:
        """What waits for another try, the earliest first."""
        return self._mine(self._memory.scheduled(keys.RETRY))

    @property
    def dead(self) -> list[StoredJob]:
        """What died, in that order."""
        return self._mine(self._memory.dead)

    @property
    def pushed(self) -> list[StoredJob]:
        """Every push since the start or the last `clear`, in that order, whatever has become of it."""
        return self._mine(self._memory.pushed)

    def clear(self) -> None:
        """Forget all of these jobs."""
        self._memory.keep(lambda job: not self._selects(job))

    def drain(self, *, raise_errors: bool = True, limit: int | None = None) -> dict[str, int]:
        """Run jobs until nothing waits, what they push, retries and scheduled ones too; returns how they ended.

        `{"done": 2, "retry": 1}`: the words are those of the log and of the metrics. Jobs run as in a worker: one after
        the other, with server middleware, retries and hooks, but no wait is waited for. Jobs of classes without a
        handler in this program stay. `def` handlers run in this thread, `async def` on an event loop in another.

        Raises the error of a job that has no retries left, unless `raise_errors` is False or it was `pykiq.Kill`;
        the rest waits then. Raises PykiqError after `limit` executions, as a job that pushes itself has no end; by
        default 10,000 more than jobs wait at the beginning.
        """
        __tracebackhide__ = True
        return self._drain(_Draining(self, raise_errors=raise_errors, limit=limit))

    async def adrain(self, *, raise_errors: bool = True, limit: int | None = None) -> dict[str, int]:
        """`drain` for asyncio: `async def` handlers run on the running event loop, `def` handlers on a thread."""
        __tracebackhide__ = True
        return await self._adrain(_Draining(self, raise_errors=raise_errors, limit=limit))

    def perform_one(self) -> dict[str, int]:
        """Run the next job, only that one; returns how it ended, `{}` when nothing waits. Raises nothing of the job's.

        A job that fails is in `retries` or `dead` then: to look at one try at a time.
        """
        return self._drain(_Draining(self, raise_errors=False, once=True))

    async def aperform_one(self) -> dict[str, int]:
        """`perform_one` for asyncio."""
        return await self._adrain(_Draining(self, raise_errors=False, once=True))

    def assert_enqueued(
        self,
        job_class: object,
        *,
        args: Any = ANY,
        queue: Any = ANY,
        at: Any = ANY,
        count: int | None = None,
        **keys_of_payload: Any,
    ) -> list[StoredJob]:
        """Raise AssertionError unless such a job was pushed; returns those that were.

        `at` is a moment or, below 1e9 or as a timedelta, an interval, give or take a second; None is a job for now.
        `count` is how many there must be, any number but 0 unless given. Everything else is compared with the payload:
        `tags=["a"]`. What was pushed is looked at, whether it has run since or not.
        """
        __tracebackhide__ = True
        wanted = Wanted(_name(job_class), args, queue, at, keys_of_payload)
        return check(self.pushed, wanted, count)

    def __len__(self) -> int:
        return len(self.jobs)

    def __bool__(self) -> bool:
        return True  # `if jobs:` would be a question with two meanings

    def __iter__(self) -> Iterator[StoredJob]:
        return iter(self.jobs)

    def __repr__(self) -> str:
        return f"<{len(self)} waiting, {len(self.retries)} to retry, {len(self.dead)} dead>"

    def _drain(self, draining: _Draining) -> dict[str, int]:
        __tracebackhide__ = True
        with closing(draining.pipeline):
            for assigned in draining:
                draining.ended(draining.pipeline.run(assigned))
        return dict(draining.counts)

    async def _adrain(self, draining: _Draining) -> dict[str, int]:
        __tracebackhide__ = True
        with closing(draining.pipeline):
            for assigned in draining:
                draining.ended(await draining.pipeline.arun(assigned))
        return dict(draining.counts)

    def _mine(self, jobs: list[StoredJob]) -> list[StoredJob]:
        return [job for job in jobs if self._selects(job)]

    def _selects(self, job: StoredJob) -> bool:
        return self._class in (None, job.job_class) and self._queue in (None, job.queue)


class _Draining:
    """One drain: iterate over the jobs to run, and say of each how it `ended` before the next one is taken."""

    def __init__(self, jobs: Jobs, *, raise_errors: bool, limit: int | None = None, once: bool = False) -> None:
        self.pipeline = Pipeline(jobs._loop)
        self.counts: Counter[str] = Counter()
        self._jobs = jobs
        self._memory = jobs._memory
        self._raise_errors = raise_errors
        self._limit = LIMIT + len(jobs) + len(jobs.retries) if limit is None else limit
        self._once = once

    def __iter__(self) -> Iterator[Assigned]:
        while (found := self._next()) is not None:
            yield found
            if self._once:
                return

    def ended(self, outcome: Outcome) -> None:
        """Write what the job left, tell the hooks, and raise what must be."""
        __tracebackhide__ = True
        self._memory.settle(outcome)
        self.pipeline.tell(outcome)
        self.counts[fate(outcome).value] += 1
        error = fatal(outcome, deaths=self._raise_errors)
        if error is not None:
            error.add_note(f"raised by the job {outcome.name} {outcome.jid}, which pykiq.testing ran")
            raise error.with_traceback(_own(error.__traceback__))

    def _next(self) -> Assigned | None:
        """The next job with a handler here, taken out of its queue: due ones when the queues are empty."""
        while True:
            waiting = self._first()
            if waiting is not None:
                job, found = waiting
                if self.counts.total() >= self._limit:
                    raise PykiqError(
                        f"{self._limit} jobs have run and {job.job_class} is next; a job that pushes or snoozes itself"
                        " never comes to an end: run it with perform_one(), or give drain() another limit"
                    )
                self._memory.take(job)
                if isinstance(found, Assigned):
                    return found
                self.ended(found)
            elif not self._move_one_due():
                return None

    def _first(self) -> tuple[StoredJob, Assigned | Outcome] | None:
        """The first job of the queues that is not for somebody else."""
        for job in filter(self._jobs._selects, self._memory.queued):
            found = self.pipeline.assign(job)
            if isinstance(found, Assigned) or not isinstance(found.write, PutBack):
                return job, found
        return None

    def _move_one_due(self) -> bool:
        sets = [[(job, key) for job in self._memory.due[key]] for key in SETS]
        for job, key in heapq.merge(*sets, key=lambda pair: score(pair[0])):
            if self._jobs._selects(job) and isinstance(self.pipeline.assign(job), Assigned):
                self._memory.move(key, job, self.pipeline.repush(job))
                return True
        return False


def _own(traceback: TracebackType | None) -> TracebackType | None:
    """A job's traceback from its first own line on."""
    while traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(FOLDER):
        traceback = traceback.tb_next
    return traceback


def _name(job_class: object) -> str:
    name = job_class if isinstance(job_class, str) else getattr(job_class, "job_name", None)
    if not isinstance(name, str):
        raise TypeError(f"{job_class!r:.80} is no class of jobs; expected its name or what @pykiq.job or remote() made")
    return name.removeprefix("::")

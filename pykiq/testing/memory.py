"""What Redis would hold: queues, `schedule`, `retry` and `dead` of one test, and everything that was pushed in it."""

from __future__ import annotations

import threading
from bisect import insort
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pykiq.records import Acknowledge, Bury, Later, Outcome, PutBack
from pykiq.store.due import Move
from pykiq.store.push import PushBatch
from pykiq.wire import activejob, keys, payload
from pykiq.wire.ajarguments import decode


class StoredJob(NamedTuple):
    """A job as Redis would hold it: `raw` are its bytes, `payload` what any reader makes of them.

    `at` is the score in epoch seconds of a job in `schedule` or `retry`; None for one in a queue or in `dead`.
    """

    raw: bytes
    queue: str
    at: float | None
    payload: dict[str, Any]

    @property
    def job_class(self) -> str:
        """The class's name; of an ActiveJob its own, and not its wrapper's."""
        return payload.handler_name(self.payload) or "?"

    @property
    def args(self) -> list[Any]:
        """The arguments as they arrive at the handler; of an ActiveJob decoded, its keywords last."""
        if payload.class_name(self.payload) in activejob.WRAPPERS:
            return decode((activejob.job_data(self.payload) or {}).get("arguments"))
        return payload.arguments(self.payload)

    @property
    def jid(self) -> str:
        """The job's id."""
        return str(self.payload.get("jid", ""))


def score(job: StoredJob) -> float:
    """When a job is due, for sorting."""
    return job.at or 0.0


def stored(raw: bytes, queue: str = "", at: float | None = None) -> StoredJob:
    """The record of these bytes; the queue is their own unless one is given."""
    job = payload.parse(raw)
    return StoredJob(raw, queue or str(job.get("queue", "default")), at, job)


class Memory:
    """All jobs of one test. Threads of the program under test may push at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.pushed: list[StoredJob] = []
        self.queued: list[StoredJob] = []  # those of all queues, the oldest push first
        self.due: dict[str, list[StoredJob]] = {keys.SCHEDULE: [], keys.RETRY: []}  # by their scores
        self.dead: list[StoredJob] = []

    def keep(self, selects: Callable[[StoredJob], bool]) -> None:
        """Forget everything but what `selects` says."""
        with self._lock:
            for jobs in (self.pushed, self.queued, *self.due.values(), self.dead):
                jobs[:] = [job for job in jobs if selects(job)]

    def push(self, batches: Sequence[PushBatch]) -> list[StoredJob]:
        """Take what a client would have sent."""
        new = [
            stored(entry, batch.queue) if isinstance(entry, bytes) else stored(entry[1], at=float(entry[0]))
            for batch in batches
            for entry in batch.entries
        ]
        with self._lock:
            self.pushed += new
            for job in new:
                if job.at is None:
                    self.queued.append(job)
                else:
                    self._add(keys.SCHEDULE, job)
        return new

    def _add(self, key: str, job: StoredJob) -> None:
        insort(self.due[key], job, key=score)

    def scheduled(self, key: str) -> list[StoredJob]:
        """The jobs in `schedule` or `retry`, the earliest first."""
        with self._lock:
            return list(self.due[key])

    def take(self, job: StoredJob) -> None:
        """Take a job out of its queue, or out of `schedule`."""
        with self._lock:
            (self.queued if job.at is None else self.due[keys.SCHEDULE]).remove(job)

    def move(self, key: str, job: StoredJob, what: Move) -> None:
        """Do with a due job what a poller would."""
        with self._lock:
            self.due[key].remove(job)
            match what.kind:
                case "push":
                    self.queued.append(stored(what.entry, what.queue))
                case "schedule":
                    self._add(keys.SCHEDULE, stored(what.entry, at=what.at))
                case "later":
                    self._add(key, stored(what.entry, at=what.at))
                case "dead":
                    self.dead.append(stored(what.entry))

    def settle(self, outcome: Outcome) -> None:
        """Write what a worker would write for a job that has run."""
        with self._lock:
            match outcome.write:
                case Acknowledge():
                    pass
                case Later(key=key, at=at, entry=entry):
                    self._add(key, stored(entry, at=at))
                case Bury(entry=entry):
                    self.dead.append(stored(entry))
                case PutBack():
                    self.queued.insert(0, stored(outcome.claimed.raw, outcome.claimed.queue))

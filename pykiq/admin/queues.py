"""The queues."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing

from pykiq.admin.access import Access
from pykiq.admin.entries import JobRecord
from pykiq.client.sync import Client
from pykiq.store import queues
from pykiq.store.sifting import can_sift, sift
from pykiq.store.stats import latency

SEARCHED = 1_000_000  # entries that Redis may look at to delete jobs one by one: 50 ms in all


class Queue:
    """One queue. Iterating goes from the newest job to the oldest, as in Ruby, lazily.

    A job that waits all the time is seen, whatever is pushed, taken and deleted meanwhile.
    """

    def __init__(self, name: str = "default", client: Client | None = None) -> None:
        self.name = name
        self._access = Access(client)

    @classmethod
    def all(cls, client: Client | None = None) -> list[Queue]:
        """Every queue that was pushed to and not cleared since, in alphabetical order."""
        access = Access(client)
        return [cls(name, access.client) for name in queues.names(access.redis)]

    @property
    def id(self) -> str:
        return self.name

    @property
    def size(self) -> int:
        return queues.size(self._access.redis, self.name)

    def __len__(self) -> int:
        return self.size

    def __bool__(self) -> bool:
        return True  # an empty queue is still a queue

    @property
    def latency(self) -> float:
        """Seconds that the next job has waited; 0 for an empty queue."""
        return latency(queues.oldest(self._access.redis, self.name), time.time())

    def __iter__(self) -> Iterator[JobRecord]:
        for page in queues.pages(self._access.redis, self.name):
            for raw in page:
                yield JobRecord(self._access, raw, self.name)

    def find_job(self, jid: str) -> JobRecord | None:
        """The job with that jid, or None. Goes through the whole queue."""
        return next((job for job in self if jid.encode() in job.raw and job.jid == jid), None)

    def delete_jobs(self, jobs: Sequence[JobRecord]) -> list[bool]:
        """Remove several jobs; for each whether it was still there."""
        wanted = Counter(job.raw for job in jobs)
        if len(jobs) * self.size <= SEARCHED or not can_sift(self.name):
            return queues.delete(self._access.redis, self.name, [job.raw for job in jobs])
        removed = Counter[bytes]()

        def is_meant(raw: bytes) -> bool:
            meant = removed[raw] < wanted[raw]
            removed[raw] += meant
            return meant

        for _ in sift(self._access.redis, self.name, is_meant, limit=len(jobs)):
            pass
        found = []
        for job in jobs:
            found.append(removed[job.raw] > 0)
            removed[job.raw] -= found[-1]
        return found

    def delete_if(self, is_meant: Callable[[JobRecord], bool], *, limit: int | None = None) -> int:
        """Remove the jobs for which `is_meant` is true, at most `limit` of them, the newest first; how many that were.

        One pass through the queue in steps of a few milliseconds of Redis, however long it is. Workers and pushes go on
        meanwhile. What is pushed meanwhile stays.
        """
        with closing(self.sifted(is_meant, limit=limit)) as each:
            return sum(each)

    def sifted(self, is_meant: Callable[[JobRecord], bool], *, limit: int | None = None) -> Generator[bool]:
        """`delete_if`, lazily: for each job looked at whether it was removed. Close it to stop in the middle."""

        def is_meant_raw(raw: bytes) -> bool:
            return is_meant(JobRecord(self._access, raw, self.name))

        if can_sift(self.name):
            yield from sift(self._access.redis, self.name, is_meant_raw, limit=limit)
            return
        left = limit
        for job in self:
            removed = left != 0 and is_meant(job) and job.delete()
            left = left - removed if left is not None else None
            yield removed

    def clear(self) -> None:
        """Remove every job and the queue itself from the list of queues."""
        queues.clear(self._access.redis, self.name)

    @property
    def paused(self) -> bool:
        return self.name in queues.paused(self._access.redis)

    def pause(self) -> bool:
        """Let no more jobs be taken from it; False when it was paused already.

        Python processes stop within seconds, processes with Sidekiq Pro too. Those of free Sidekiq take no notice.
        """
        return queues.pause(self._access.redis, self.name)

    def unpause(self) -> bool:
        """Let jobs be taken again; False when it was not paused."""
        return queues.resume(self._access.redis, self.name)

    def __repr__(self) -> str:
        return f"<Queue {self.name}>"

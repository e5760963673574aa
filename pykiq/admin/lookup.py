"""Where a job is, by its jid alone: in a queue, in a set, in flight or running, at whichever process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pykiq.admin.access import Access
from pykiq.admin.entries import JobRecord, SortedEntry
from pykiq.admin.fleet import Work
from pykiq.admin.sets import DeadSet, JobSet, RetrySet, ScheduledSet
from pykiq.client.sync import Client
from pykiq.store import inflight, processes, queues, sets
from pykiq.store.inflight import Held
from pykiq.store.processes import Working
from pykiq.wire import activejob, keys, payload
from pykiq.wire.glob import escaped

PASSES = 2  # a job that moves from one place to another meanwhile may be missed by one pass, hardly by two


@dataclass(frozen=True, slots=True)
class FoundJob:
    """One place where a job is.

    `state` is `queue`, `schedule`, `retry`, `dead`, `in flight` (claimed, and not known to have begun) or `running`.
    `job` is a SortedEntry where that is a set. `process_id` is the process that has it, which lives if `is_alive` says
    so; with a dead one it is about to be taken over. A process that has just died seems to live until its lease has
    run out, in `lease_left` seconds; one that lives renews it. `work` says which thread runs it and since when.
    """

    state: str
    job: JobRecord
    process_id: str | None = None
    is_alive: bool = True
    work: Work | None = None
    lease_left: float | None = None


def find_jobs(jid: str, client: Client | None = None) -> list[FoundJob]:
    """Every job of that `jid`, wherever it is; the `job_id` that Rails gives an ActiveJob will do too.

    Looks through all queues and sets a page at a time, so that Redis has others' commands in between; that takes as
    long as there is much in them. Raises redis.RedisError.
    """
    lookup = Lookup(jid, client)
    for _ in lookup.steps():
        pass
    return lookup.found()


class Lookup:
    """One search: `steps` carries it out, a page at each, and then `found` has what it came upon."""

    def __init__(self, jid: str, client: Client | None = None) -> None:
        self._access = Access(client)
        self._redis = self._access.redis
        self._jid = jid
        encoded = jid.encode("utf-8", "surrogatepass")
        self._needle = encoded if payload.is_never_escaped(encoded) else b""
        self._found: list[FoundJob] = []

    def length(self) -> int:
        """About how many steps one pass has."""
        waiting = sum(-(-queues.size(self._redis, name) // queues.PAGE) for name in queues.names(self._redis))
        kept = sum(-(-sets.size(self._redis, key) // sets.PAGE) for key in (keys.SCHEDULE, keys.RETRY, keys.DEAD))
        return waiting + kept + 1

    def steps(self) -> Iterator[None]:
        """Look through one place after the other, in the order in which a job goes through them."""
        for _ in range(PASSES):
            yield from self._in_set(ScheduledSet)
            yield from self._in_set(RetrySet)
            for name in queues.names(self._redis):
                for page in queues.pages(self._redis, name):
                    records = (JobRecord(self._access, raw, name) for raw in page if self._needle in raw)
                    self._found += [FoundJob("queue", job) for job in records if self._is_meant(job)]
                    yield
            self._at_processes()
            yield
            yield from self._in_set(DeadSet)
            if self._found:
                return

    def found(self) -> list[FoundJob]:
        """What `steps` has found.

        A job that moved meanwhile, or that came twice because its queue did, is told once; several whose bytes are the
        same as often as they are there.
        """
        often = Counter(one.job.raw for one in self._found)
        left: dict[tuple[Any, ...], int] = {}
        kept = []
        for one in self._found:
            place = (one.state, one.process_id, one.job.queue, one.job.raw)
            if often[one.job.raw] > 1:
                left[place] = (left[place] if place in left else self._count(one)) - 1
            if left.get(place, 0) >= 0:
                kept.append(one)
        return kept

    def _in_set(self, kind: type[JobSet]) -> Iterator[None]:
        jobs = kind(self._access.client)
        pattern = f"*{escaped(self._jid)}*" if self._needle else "*"
        for page in sets.scan_pages(self._redis, jobs.name, pattern):
            entries = (SortedEntry(jobs, found.member, found.score) for found in page)
            self._found += [FoundJob(jobs.name, entry) for entry in entries if self._is_meant(entry)]
            yield

    def _at_processes(self) -> None:
        held = list(self._in_flight())
        running = [one for one in processes.work(self._redis) if self._needle in one.raw]
        for owner, job in held:
            work = self._taken_from(running, owner, job)
            state = "running" if work and owner.alive else "in flight"
            left = inflight.lease_left(self._redis, owner.identity)
            self._found.append(FoundJob(state, job, owner.identity, owner.alive, work, left))
        # Of a pykiq process the in-flight lists say it all: what else it shows as running has ended since.
        ours = inflight.owners(self._redis)
        for working in running:
            work = Work(self._access, working)
            if working.identity not in ours and self._is_meant(work.job):
                self._found.append(FoundJob("running", work.job, working.identity, True, work))

    def _in_flight(self) -> Iterator[tuple[Held, JobRecord]]:
        for held in inflight.read(self._redis):
            for page in inflight.pages(self._redis, held):
                records = (JobRecord(self._access, raw, held.queue) for raw in page if self._needle in raw)
                yield from ((held, job) for job in records if self._is_meant(job))

    def _taken_from(self, running: list[Working], owner: Held, job: JobRecord) -> Work | None:
        """The record of that job's execution, which is used up by that; None when it has not begun."""
        shown = job.raw.decode("utf-8", "replace").encode()  # as work records have it
        for index, one in enumerate(running):
            if (one.identity, one.queue, one.raw) == (owner.identity, owner.queue, shown):
                return Work(self._access, running.pop(index))
        return None

    def _is_meant(self, job: JobRecord) -> bool:
        return self._jid in _ids(job)

    def _count(self, one: FoundJob) -> int:
        """How often these bytes are in that place now."""
        raw = one.job.raw
        if one.state in (keys.SCHEDULE, keys.RETRY, keys.DEAD):
            return int(sets.has(self._redis, one.state, raw))
        if one.state == "queue":
            return queues.count(self._redis, one.job.queue or "", raw)
        if one.process_id not in inflight.owners(self._redis):
            return 1  # a Ruby process keeps no list
        return inflight.count(self._redis, one.process_id or "", one.job.queue or "", raw)


def _ids(job: JobRecord) -> Iterable[str | None]:
    data = activejob.job_data(job.item) if job.klass in activejob.WRAPPERS else None
    job_id = (data or {}).get("job_id")
    return (job.jid, job_id if isinstance(job_id, str) else None)

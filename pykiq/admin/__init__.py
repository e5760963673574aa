"""Look into a fleet and act on it: the queues, sets and processes of Ruby's `Sidekiq::API`, under its names.

    from pykiq import admin

    admin.Stats().enqueued
    for job in admin.Queue("low"): ...
    for entry in admin.DeadSet():
        if entry.klass == "HardJob":
            entry.retry()
    admin.RetrySet().find_job("0123456789abcdef01234567")
    admin.find_jobs("0123456789abcdef01234567")
    for process in admin.ProcessSet():
        process.quiet()

Ruby's `quiet!` is `quiet()`, `paused?` is `paused`, a `Time` is a datetime in UTC, `each` is `for`. Iteration is lazy,
a page at a time, so a set of millions needs no memory. Everything takes the `pykiq.Client` to work with; without one,
that of `pykiq.configure`. Every change of a job is one step in Redis: it is where it was or where it shall be, and of
two that change it only one does. Errors of Redis are redis.RedisError.

    entries.py   one job of a queue or a set, and what can be done with it
    changes.py   carrying that out, for one job or for millions
    queues.py sets.py   the places where jobs wait
    fleet.py     processes and what they run
    lookup.py    where a job is, by its jid alone
    stats.py     the dashboard's numbers
    access.py    the client behind it all
"""

from __future__ import annotations

from pykiq.admin.entries import JobRecord, SortedEntry
from pykiq.admin.fleet import Process, ProcessSet, Work, WorkSet
from pykiq.admin.lookup import FoundJob, find_jobs
from pykiq.admin.queues import Queue
from pykiq.admin.sets import DeadSet, JobSet, RetrySet, ScheduledSet
from pykiq.admin.stats import Stats

__all__ = [
    "DeadSet",
    "FoundJob",
    "JobRecord",
    "JobSet",
    "Process",
    "ProcessSet",
    "Queue",
    "RetrySet",
    "ScheduledSet",
    "SortedEntry",
    "Stats",
    "Work",
    "WorkSet",
    "find_jobs",
]

"""Looking into a fleet and acting on it, Ruby's jobs and processes included. docs/operating.md has the rest.

python examples/operating.py
"""

from __future__ import annotations

import time

import pykiq
from pykiq import admin

ReportJob = pykiq.remote("ReportJob", queue="reports")


def tomorrow_s_reports_now() -> int:
    """Push what is scheduled for one class; each change tells what became of its job."""
    scheduled = admin.ScheduledSet()
    changes = scheduled.add_to_queue_each(entry for entry in scheduled if entry.klass == "ReportJob")
    return sum(change.done for change in changes)


def one_of_them_never(jid: str) -> bool:
    """Take one job out of its queue; False when a worker was faster."""
    job = admin.Queue("reports").find_job(jid)
    return job is not None and job.delete()


def dead_of_the_last_hour() -> list[admin.SortedEntry]:
    """The dead set is walked from the latest death on, a page at a time: this reads no more than it needs."""
    recent = []
    for entry in admin.DeadSet():
        if entry.score < time.time() - 3600:
            break
        recent.append(entry)
    return recent


if __name__ == "__main__":
    jids = [ReportJob.perform_in(86_400, day) for day in ("monday", "tuesday")]
    print("pushed now:", tomorrow_s_reports_now())
    print("deleted:", one_of_them_never(str(jids[0])))
    print("dead lately:", [entry.display_class for entry in dead_of_the_last_hour()])
    numbers = admin.Stats()
    print("waiting:", dict(numbers.queues), "retries:", numbers.retry_size)
    for process in admin.ProcessSet():
        print(process.identity, process.queues, f"{process.busy} of {process.concurrency}")

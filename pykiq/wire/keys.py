"""The names of all Redis keys: Sidekiq's (WIRE.md §2) and pykiq's own, which all begin with `pykiq:`."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

QUEUES = "queues"
SCHEDULE = "schedule"
RETRY = "retry"
DEAD = "dead"
PROCESSES = "processes"
PROCESS_CLEANUP = "process_cleanup"
PAUSED = "paused"  # set of queue names; Sidekiq Pro and pykiq take nothing from those
STAT_PROCESSED = "stat:processed"
STAT_FAILED = "stat:failed"

PROCESS_TTL = 60  # seconds: the `<identity>` hash, its work, its signals
PROCESS_CLEANUP_TTL = 60  # seconds
STAT_DAY_TTL = 157_680_000  # seconds: five years

OWNERS = "pykiq:owners"  # hash: identity → JSON list of the queues it may have claimed from
POLLER = "pykiq:poller"  # identity of the process that looks for due jobs
SWEEP = "pykiq:sweep"  # identity of the process that looks for dead ones
SUSPECT = "pykiq:suspect"  # hash: the job that runs alone of those taken over before, `queue` and `raw`
FLEET = "pykiq:fleet"  # which Rubies and how many pykiqs there are, as one process has read it for all
FLEET_READER = "pykiq:fleet:reader"  # the key that says that one is about to read it
WALK = "pykiq:walk"  # how far the sweeps have looked through all keys for in-flight lists that have no owner

_INFLIGHT = re.compile(r"pykiq:inflight:(.+?:\d+:[0-9a-f]{12}):(.*)", re.DOTALL)


def raw(name: str) -> bytes:
    """A key or a name with the bytes that it had in Redis: what is no UTF-8 there is a surrogate escape here."""
    return name.encode("utf-8", "surrogateescape")


def queue(name: str) -> str:
    """The list of a queue's jobs, newest at index 0."""
    return f"queue:{name}"


def process(identity: str) -> str:
    """The hash of one process's heartbeat: its identity is the key."""
    return identity


def work(identity: str) -> str:
    """The hash of a process's running jobs, as 7.3 and 8.1 read it."""
    return f"{identity}:work"


def workers(identity: str) -> str:
    """The hash of a process's running jobs, as 6.4 reads it."""
    return f"{identity}:workers"


def signals(identity: str) -> str:
    """The list from which a process pops `TSTP` and `TERM` that the Web UI left for it."""
    return f"{identity}-signals"


def utc_day(now: float) -> str:
    """`now` (epoch seconds) as `YYYY-MM-DD` in UTC, as all dated key names have it."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")


def stat_processed(day: date | str) -> str:
    """The counter of jobs processed on one UTC day."""
    return f"{STAT_PROCESSED}:{day}"


def stat_failed(day: date | str) -> str:
    """The counter of jobs failed on one UTC day."""
    return f"{STAT_FAILED}:{day}"


def inflight(identity: str, queue: str) -> str:
    """The list of jobs that a pykiq process has claimed from a queue and not settled yet."""
    return f"pykiq:inflight:{identity}:{queue}"


def owner_and_queue(key: str) -> tuple[str, str] | None:
    """The identity and the queue in the name of an in-flight list; None for any other key."""
    match = _INFLIGHT.fullmatch(key)
    return None if match is None else (match[1], match[2])


def lease(identity: str) -> str:
    """The key whose expiry tells the others that a pykiq process is gone."""
    return f"pykiq:lease:{identity}"


def standing(identity: str) -> str:
    """The list that is never there: what a process's standing orders wait for (store/standing.py)."""
    return f"pykiq:standing:{identity}"


def backlog(group: str) -> str:
    """What waits, as one process has read it for all that serve the same group of queues."""
    return f"pykiq:backlog:{group}"


def backlog_reader(group: str) -> str:
    """The key that says that one has just read it, or is about to."""
    return f"pykiq:backlog:{group}:reader"


def takeovers(jid: str, digest: str) -> str:
    """The list of when the job with these bytes was taken over, and from whom. `jid` may be empty."""
    return f"pykiq:takeovers:{jid}:{digest}"

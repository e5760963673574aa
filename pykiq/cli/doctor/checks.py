"""What the facts mean: each check is a pure function from Facts to findings, most of them to one that all is well."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from enum import Enum
from typing import NamedTuple

from pykiq.cli.doctor.facts import Beating, Facts, is_python, served
from pykiq.cli.output import argument, word
from pykiq.cli.table import counted, span
from pykiq.store.server import OLDEST_REDIS
from pykiq.wire import keys, untrusted

CLOCK = 1.0  # seconds that two clocks may differ
ROUND_TRIP = 0.02  # seconds
SILENT = 30.0  # seconds without a beat: three times the longest rhythm
OVERDUE = 60.0  # seconds that a due job may wait for a poller
STALE = 30.0  # seconds that a job may wait in a queue that has free slots
FULL = 0.9  # of maxmemory
COMMANDS = {keys.RETRY: "retries", keys.SCHEDULE: "scheduled"}  # of the sets of jobs that are due later


class Level(Enum):
    """How bad it is: nothing, good to know, something to do, jobs are or will be lost or stuck."""

    OK = "ok"
    REMARK = "remark"
    WARNING = "warning"
    ERROR = "error"


class Finding(NamedTuple):
    """One thing that was looked at, and what to do about it; no advice when there is nothing to do."""

    check: str
    level: Level
    text: str
    advice: str = ""

    def as_dict(self) -> dict[str, str]:
        return {"check": self.check, "level": self.level.value, "text": self.text, "advice": self.advice}


def findings(facts: Facts) -> list[Finding]:
    """Everything there is to say, in the order in which one would look."""
    return [finding for check in CHECKS for finding in check(facts)]


def _server(facts: Facts) -> Iterator[Finding]:
    server = facts.server
    what = f"{server.name} {server.version or '(unknown)'} at {facts.redis}"
    if server.is_cluster:
        yield Finding("server", Level.ERROR, f"{what} is a cluster", "give the URL of a single server or of Sentinels")
    elif server.speaks < OLDEST_REDIS:
        yield Finding("server", Level.ERROR, f"{what} is too old", "upgrade to Redis 6.2 or later, or Valkey")
    elif facts.info.get("role") == "slave":
        yield Finding("server", Level.ERROR, f"{what} is a replica", "give the URL of its master, or of Sentinels")
    else:
        yield Finding("server", Level.OK, what)


def _eviction(facts: Facts) -> Iterator[Finding]:
    policy = facts.server.policy
    if policy is None:
        yield Finding(
            "eviction", Level.REMARK, "the server does not tell its maxmemory-policy", "make sure: noeviction"
        )
    elif policy != "noeviction":
        yield Finding(
            *("eviction", Level.ERROR, f"maxmemory-policy is {policy}: jobs are thrown away when memory is full"),
            advice="CONFIG SET maxmemory-policy noeviction, also in the server's file; caches need another server",
        )
    else:
        yield Finding("eviction", Level.OK, "maxmemory-policy is noeviction")
    most, used = untrusted.whole(facts.info.get("maxmemory")), untrusted.whole(facts.info.get("used_memory"))
    if most and used > FULL * most:
        yield Finding(
            *("memory", Level.WARNING, f"{used / most:.0%} of maxmemory is used; pushes are refused when it is full"),
            advice="raise maxmemory, or find what fills it: `pykiq queues`, `pykiq dead`",
        )


def _persistence(facts: Facts) -> Iterator[Finding]:
    info = facts.info
    if not info:
        return
    for field, what in (("aof_last_write_status", "the append-only file"), ("rdb_last_bgsave_status", "a snapshot")):
        if info.get(field, "ok") != "ok":
            yield Finding(
                *("persistence", Level.ERROR, f"the server could not write {what}: a crash loses jobs"),
                advice="look at the server's log and its disk",
            )
    if info.get("aof_enabled"):
        yield Finding("persistence", Level.OK, "appendonly is on")
    else:
        yield Finding(
            *("persistence", Level.WARNING, "appendonly is off: a crash loses every job since the last snapshot"),
            advice="CONFIG SET appendonly yes, and the same in the server's file",
        )


def _clocks(facts: Facts) -> Iterator[Finding]:
    wrong = [("this machine", facts.clock_ahead)] if abs(facts.clock_ahead) > CLOCK else []
    wrong += [(one.seen.identity, one.clock_ahead) for one in facts.processes if abs(one.clock_ahead) > CLOCK]
    for who, ahead in wrong:
        side = "ahead of" if ahead > 0 else "behind"
        yield Finding(
            *("clocks", Level.WARNING, f"the clock of {who} is {span(abs(ahead))} {side} Redis's"),
            advice="let NTP or chrony set it: due jobs run early or late, latencies are wrong",
        )
    if not wrong:
        yield Finding("clocks", Level.OK, f"all clocks agree within {CLOCK:g} s")


def _round_trip(facts: Facts) -> Iterator[Finding]:
    text = f"a round trip takes {facts.round_trip * 1000:.2f} ms from here"
    if facts.round_trip > ROUND_TRIP:
        yield Finding(
            "round trip", Level.WARNING, text, "run workers close to their Redis: in its zone, not across regions"
        )
    else:
        yield Finding("round trip", Level.OK, text)


def _versions(facts: Facts) -> Iterator[Finding]:
    dialect = f"new jobs are written in the dialect of Sidekiq {facts.fleet.dialect.name}"
    versions = sorted(version or "6.x" for version in facts.fleet.versions)
    python = sorted({untrusted.text(one.seen.info.get("version")) for one in facts.processes if is_python(one.seen)})
    if not versions:
        yield Finding("versions", Level.OK, f"no Ruby process is seen; {dialect}")
    elif len({version.split(".")[0] for version in versions}) > 1:
        yield Finding(
            *("versions", Level.REMARK, f"Sidekiq {' and '.join(versions)} run beside each other; {dialect}"),
            advice="all read it; finish the upgrade when you can, or decide it with --wire",
        )
    else:
        yield Finding("versions", Level.OK, f"Sidekiq {', '.join(versions)}; {dialect}")
    if len(python) > 1:
        yield Finding(
            "versions", Level.REMARK, f"several versions of pykiq run: {', '.join(python)}", "finish the deploy"
        )


def _processes(facts: Facts) -> Iterator[Finding]:
    silent = [one for one in facts.processes if one.beat_ago > SILENT]
    for one in silent:
        yield Finding(
            *("processes", Level.WARNING, f"{one.seen.identity} has not been heard of for {span(one.beat_ago)}"),
            advice="it hangs, is cut off, or died; look at its log, and restart it if it lives",
        )
    if not facts.processes:
        yield Finding("processes", Level.WARNING, "no process runs", "start one: pykiq run --require handlers")
    elif not silent:
        yield Finding("processes", Level.OK, f"{counted(len(facts.processes), 'process')}, {facts.stats.busy:,} busy")


def _queues(facts: Facts) -> Iterator[Finding]:
    for queue in facts.stats.queues:
        name = word(queue.name)
        serving = [one for one in _living(facts) if queue.name in served(one.seen)]
        if queue.paused:
            yield Finding(
                *("queues", Level.REMARK, f"{name} is paused, with {counted(queue.size, 'job')}"),
                advice=_offered(queue.name, f"pykiq resume {argument(queue.name)}"),
            )
        elif not queue.size:
            continue
        elif not serving:
            yield Finding(
                *("queues", Level.ERROR, f"nobody serves {name}, with {counted(queue.size, 'job')}"),
                advice=_offered(
                    queue.name, f"start a process with -q {name}, or look at them: pykiq queues {argument(queue.name)}"
                ),
            )
        elif all(one.seen.quiet for one in serving):
            yield Finding(
                *("queues", Level.WARNING, f"only quiet processes serve {name}, with {counted(queue.size, 'job')}"),
                advice="quiet processes take nothing any more: start new ones",
            )


def _offered(queue: str, advice: str) -> str:
    """Advice with commands for a queue, unless its name is one that no command can be given."""
    if not queue or "\0" in queue or "," in queue or queue != queue.strip():
        return "the name cannot be written on a command line: see pykiq.admin.Queue"
    return advice


def _handlers(facts: Facts) -> Iterator[Finding]:
    """Of queues that only Python serves: Ruby's classes are not known here."""
    latencies = {queue.name: queue.latency for queue in facts.stats.queues if not queue.paused}
    for one in facts.waiting:
        idle = any(_has_room(process) for process in _living(facts) if one.queue in served(process.seen))
        if not facts.handlers_known and not (idle and latencies.get(one.queue, 0.0) > STALE):
            continue
        classes = ", ".join(f"{name} ({count})" for name, count in one.classes.items())
        sure = "have no handler" if facts.handlers_known else "wait although there are free slots: no handler?"
        yield Finding(
            *("handlers", Level.WARNING, f"in {word(one.queue)}, which only Python serves, {classes} {sure}"),
            advice="declare a handler of that name, or push the class to a queue that Ruby serves",
        )
    if facts.handlers_known and not facts.waiting:
        yield Finding("handlers", Level.OK, "every class that waits where only Python serves has a handler")


def _living(facts: Facts) -> list[Beating]:
    """The processes that do something, as far as one can tell: what died is in the list for another minute."""
    gone = {one.identity for one in facts.in_flight if not one.alive}
    return [one for one in facts.processes if one.beat_ago <= SILENT and one.seen.identity not in gone]


def _has_room(process: Beating) -> bool:
    return not process.seen.quiet and process.seen.busy < process.seen.concurrency


def _sets(facts: Facts) -> Iterator[Finding]:
    if math.isinf(facts.overdue):  # since when it is due, no score says
        yield Finding(
            *("schedule", Level.WARNING, "a job is due whose score is -inf: it waits to be moved"),
            advice="look again: any process that is not quiet moves it within seconds; if none does, start one",
        )
    elif facts.overdue > OVERDUE:
        yield Finding(
            *("schedule", Level.ERROR, f"a job has been due for {span(facts.overdue)}: nobody moves due jobs"),
            advice="any process that is not quiet does it; start one, and look at the logs of those that run",
        )
    else:
        yield Finding("schedule", Level.OK, "no due job waits")
    for key, count in facts.never_due:
        yield Finding(
            *("schedule", Level.WARNING, f"{counted(count, 'job')} in {key} will never be due"),
            advice=f"give them a time: pykiq {COMMANDS[key]} reschedule JID --in 0",
        )
    for key in facts.stats.unreadable:
        yield Finding(
            *("keys", Level.ERROR, f"the key {key} is of another type: nothing can be read from it"),
            advice="another program has written it: find out which, and rename the key",
        )


def _in_flight(facts: Facts) -> Iterator[Finding]:
    orphans = [one for one in facts.in_flight if not one.alive]
    python = any(is_python(one.seen) for one in _living(facts))
    for one in orphans:
        yield Finding(
            *(
                "in flight",
                Level.WARNING,
                f"{one.identity} is gone and holds {counted(one.jobs, 'job')} from {word(one.queue)}",
            ),
            advice="a live pykiq process puts them back within 20 s, those that were taken over before one at a time"
            if python
            else "no pykiq process lives to put them back: start one, with any queues",
        )
    if not orphans:
        jobs = sum(one.jobs for one in facts.in_flight)
        yield Finding("in flight", Level.OK, f"{counted(jobs, 'job')} in flight, all with a living owner")


def _rights(facts: Facts) -> Iterator[Finding]:
    for one in facts.rights:
        yield Finding(
            *("rights", Level.WARNING, f"this user of Redis may not {', '.join(one.commands)}: {one.without}"),
            advice=f"allow it: ACL SETUSER … {one.rules}",
        )
    for pattern in facts.closed:
        yield Finding(
            *("rights", Level.ERROR, f"this user of Redis may not read and write {pattern}: no job can be settled"),
            advice=f"allow it: ACL SETUSER … ~{pattern}",
        )
    if not facts.rights and not facts.closed:
        yield Finding("rights", Level.OK, "this user of Redis may do what a worker needs")


def _extensions(facts: Facts) -> Iterator[Finding]:
    for extension, count in facts.extensions:
        yield Finding("extensions", Level.REMARK, f"{extension.name}: {counted(count, 'key')}", extension.advice)
    if not facts.scanned_all:
        yield Finding("extensions", Level.REMARK, "the database is large: only a part of its keys was looked at")


CHECKS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    *(_server, _rights, _eviction, _persistence, _clocks, _round_trip, _versions),
    *(_processes, _queues, _handlers, _sets, _in_flight, _extensions),
)

"""The processes of the fleet and what they run now, as their heartbeats tell it (WIRE.md §10), whoever wrote them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import redis

from pykiq.store.kinds import members
from pykiq.store.queues import text
from pykiq.wire import keys, untrusted
from pykiq.wire.exactjson import dumps

_FIELDS = ("info", "concurrency", "busy", "beat", "quiet", "rss", "rtt_us")
MOST_JOBS = 100_000  # at a time in one process: Python's list() makes room for as many as len() says
MOST = 10**12  # of what else a process says of itself: kilobytes, microseconds


class Seen(NamedTuple):
    """One process: `info` is what it said of itself at its start, the rest is its last beat's.

    `beat` is in epoch seconds, `rss` in kilobytes. What it does not say, or says in no number, is 0.
    """

    identity: str
    info: Mapping[str, Any]
    concurrency: int
    busy: int
    beat: float
    quiet: bool
    rss: int
    rtt_us: int


class Working(NamedTuple):
    """One job that runs: on which thread of which process, since when, and its bytes; and when that was told.

    `run_at` is in epoch seconds, `told_at` too: the process's last beat; 0 when they do not say. What is no such record
    has its own bytes for those of the job.
    """

    identity: str
    thread: str
    queue: str
    run_at: float
    raw: bytes
    told_at: float = 0.0


def read(client: redis.Redis) -> list[Seen]:
    """The processes whose heartbeat is there, in the order of their identities. Two round trips."""
    identities = _identities(client)
    with client.pipeline(transaction=False) as pipeline:
        for identity in identities:
            pipeline.hmget(identity, _FIELDS)
        answers = pipeline.execute(raise_on_error=False)
    return [
        seen
        for identity, answer in zip(identities, answers, strict=True)
        if isinstance(answer, list) and (seen := _seen(text(identity), answer)) is not None
    ]


def work(client: redis.Redis) -> list[Working]:
    """Everything that runs now, the longest running first (WIRE.md §10.4). Two round trips."""
    identities = _identities(client)
    with client.pipeline(transaction=False) as pipeline:
        for identity in identities:
            pipeline.hgetall(identity + b":work")
            pipeline.hgetall(identity + b":workers")
            pipeline.hget(identity, "beat")
        answers = iter(pipeline.execute(raise_on_error=False))
    found = []
    for identity, newer, older, beat in zip(identities, answers, answers, answers, strict=True):
        # pykiq may write both (WIRE.md §21): one of them says it all.
        hashes = [one for one in (newer, older) if isinstance(one, dict) and one]
        told_at = untrusted.moment(beat) or 0.0
        found += list(_working(text(identity), hashes[0], told_at)) if hashes else []
    return sorted(found, key=lambda one: one.run_at)


def signal(client: redis.Redis, identities: Sequence[str], name: str) -> None:
    """Leave `TSTP`, `TERM` or `TTIN` for processes, which take it at their next beat (WIRE.md §10.6)."""
    with client.pipeline(transaction=True) as pipeline:
        for identity in identities:
            key: Any = keys.raw(keys.signals(identity))
            pipeline.lpush(key, name)
            pipeline.expire(key, keys.PROCESS_TTL)
        pipeline.execute()


def _identities(client: redis.Redis) -> list[bytes]:
    return sorted(members(client, keys.PROCESSES))


def _seen(identity: str, answer: Sequence[Any]) -> Seen | None:
    """A process; None for one that is listed and gone. One whose words cannot be read is there all the same."""
    if not any(answer):
        return None
    fields = dict(zip(_FIELDS, answer, strict=True))
    info = untrusted.mapping(fields["info"]) or {}
    return Seen(
        identity,
        info,
        untrusted.whole(fields["concurrency"], MOST_JOBS) or untrusted.whole(info.get("concurrency"), MOST_JOBS),
        untrusted.whole(fields["busy"], MOST_JOBS),
        untrusted.moment(fields["beat"]) or 0.0,
        fields["quiet"] == b"true",
        untrusted.whole(fields["rss"], MOST),
        untrusted.whole(fields["rtt_us"], MOST),
    )


def _working(identity: str, fields: Mapping[bytes, bytes], told_at: float) -> Iterator[Working]:
    for thread, value in fields.items():
        record = untrusted.mapping(value)
        if record is None:
            yield Working(identity, text(thread), "", 0.0, value, told_at)
            continue
        job, run_at = record.get("payload"), untrusted.moment(record.get("run_at"))
        raw = job.encode("utf-8", "surrogateescape") if isinstance(job, str) else dumps(job)
        yield Working(identity, text(thread), untrusted.text(record.get("queue")), run_at or 0.0, raw, told_at)

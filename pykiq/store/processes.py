"""The processes of the fleet and what they run now, as their heartbeats tell it (WIRE.md §10), whoever wrote them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import redis

from pykiq.store.queues import text
from pykiq.wire import keys
from pykiq.wire.dialect import is_number

_FIELDS = ("info", "concurrency", "busy", "beat", "quiet", "rss", "rtt_us")


class Seen(NamedTuple):
    """One process: `info` is what it said of itself at its start, the rest is its last beat's.

    `beat` is in epoch seconds, `rss` in kilobytes. `concurrency` is 0 when it does not say.
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

    `run_at` is in epoch seconds, `told_at` too: the process's last beat, 0 when it does not say.
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
        told_at = _number(beat) if isinstance(beat, bytes) else 0.0
        found += list(_working(text(identity), hashes[0], told_at)) if hashes else []
    return sorted(found, key=lambda one: one.run_at)


def signal(client: redis.Redis, identities: Sequence[str], name: str) -> None:
    """Leave `TSTP`, `TERM` or `TTIN` for processes, which take it at their next beat (WIRE.md §10.6)."""
    with client.pipeline(transaction=True) as pipeline:
        for identity in identities:
            pipeline.lpush(keys.signals(identity), name)
            pipeline.expire(keys.signals(identity), keys.PROCESS_TTL)
        pipeline.execute()


def _identities(client: redis.Redis) -> list[bytes]:
    found: Any = client.sscan_iter(keys.PROCESSES, count=1000)
    return sorted(set(found))


def _seen(identity: str, answer: Sequence[Any]) -> Seen | None:
    fields = dict(zip(_FIELDS, answer, strict=True))
    try:
        info = json.loads(fields["info"] or b"null")
    except (ValueError, RecursionError):
        return None
    if not isinstance(info, dict):
        return None
    concurrency = _number(fields["concurrency"]) or info.get("concurrency") or 0
    return Seen(
        identity,
        info,
        int(concurrency) if is_number(concurrency) else 0,
        int(_number(fields["busy"])),
        _number(fields["beat"]),
        fields["quiet"] == b"true",
        int(_number(fields["rss"])),
        int(_number(fields["rtt_us"])),
    )


def _working(identity: str, fields: Mapping[bytes, bytes], told_at: float) -> Iterator[Working]:
    for thread, value in fields.items():
        try:
            record = json.loads(value)
        except (ValueError, RecursionError):
            continue
        if not isinstance(record, dict):
            continue
        job, run_at = record.get("payload"), record.get("run_at")
        raw = job.encode("utf-8", "surrogatepass") if isinstance(job, str) else json.dumps(job).encode()
        since = float(run_at) if is_number(run_at) else 0.0
        yield Working(identity, text(thread), str(record.get("queue")), since, raw, told_at)


def _number(answer: bytes | None) -> float:
    try:
        return float(answer or 0)
    except ValueError:
        return 0.0

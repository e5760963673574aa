"""Everything the doctor looks at, read once. Redis is only read, in commands that are short on a server of any size."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import redis

from pykiq.cli.doctor.extensions import Extension, seen
from pykiq.config import Config
from pykiq.store import due, fleet, inflight, processes, stats, waiting
from pykiq.store.fleet import Fleet
from pykiq.store.inflight import Held
from pykiq.store.kinds import readable
from pykiq.store.processes import Seen
from pykiq.store.queues import text
from pykiq.store.rights import Lacking, closed, lacking
from pykiq.store.server import Server, described
from pykiq.store.stats import Stats
from pykiq.store.waiting import Waiting
from pykiq.wire import keys, untrusted

PINGS = 11
SCANNED = 200_000  # keys looked at for what other gems left


class Beating(NamedTuple):
    """A process; when Redis got its last beat (s ago), and how far its clock is ahead of Redis's (s)."""

    seen: Seen
    beat_ago: float
    clock_ahead: float


class Facts(NamedTuple):
    """All of it. Times are in seconds; `clock_ahead` is how far this machine's clock is ahead of Redis's.

    `never_due` are the sets with entries that wait for a moment which no calendar has, and how many.
    """

    redis: str
    server: Server
    info: Mapping[str, Any]
    now: float
    clock_ahead: float
    round_trip: float
    processes: tuple[Beating, ...]
    fleet: Fleet
    stats: Stats
    overdue: float
    never_due: tuple[tuple[str, int], ...]
    in_flight: tuple[Held, ...]
    waiting: tuple[Waiting, ...]
    handlers_known: bool
    rights: tuple[Lacking, ...]
    closed: tuple[str, ...]  # patterns of keys that a worker needs and this user may not use
    extensions: tuple[tuple[Extension, int], ...]
    scanned_all: bool


def gather(client: redis.Redis, config: Config, *, handled: frozenset[str] | None) -> Facts:
    """Read everything; `handled` are the classes with a handler, None when nobody says. Raises redis.RedisError."""
    try:
        info: Mapping[str, Any] = client.info()
    except redis.ResponseError:  # an ACL may forbid it
        info = {}
    round_trip, clock_ahead = _clock(client)
    now = time.time() - clock_ahead
    numbers = stats.read(client, now)
    beating = _beating(client, now)
    score = due.next_score(client)
    found, scanned_all = _scan(client)
    looked_at = [queue.name for queue in numbers.queues if _is_python_s(queue.name, beating)]
    known = {name.removeprefix("::") for name in handled or ()}
    return Facts(
        redis=config.redis_shown,
        server=described(info),
        info=info,
        now=now,
        clock_ahead=clock_ahead,
        round_trip=round_trip,
        processes=beating,
        fleet=fleet.read(client),
        stats=numbers,
        overdue=max(0.0, now - score) if score is not None else 0.0,
        never_due=_never_due(client),
        in_flight=tuple(inflight.read(client, _named(found))),
        waiting=tuple(waiting.without_handler(client, looked_at, lambda name: name.removeprefix("::") in known)),
        handlers_known=handled is not None,
        rights=tuple(lacking(client)),
        closed=tuple(closed(client, ())),
        extensions=tuple(seen(found)),
        scanned_all=scanned_all,
    )


def _never_due(client: redis.Redis) -> tuple[tuple[str, int], ...]:
    with client.pipeline(transaction=False) as pipeline:
        for key in due.SETS:
            pipeline.zcount(key, untrusted.LAST_MOMENT, "+inf")
        counts = readable(pipeline.execute(raise_on_error=False))
    return tuple((key, count) for key, count in zip(due.SETS, counts, strict=True) if count)


def _clock(client: redis.Redis) -> tuple[float, float]:
    """The median round trip, and how far this clock is ahead of Redis's, as the fastest of the answers tells it."""
    measured = []
    for _ in range(PINGS):
        before, begun = time.time(), time.perf_counter()
        seconds, micros = client.time()
        trip = time.perf_counter() - begun
        measured.append((trip, before + trip / 2 - (seconds + micros / 1e6)))
    return statistics.median(trip for trip, _ in measured), min(measured)[1]


def _beating(client: redis.Redis, now: float) -> tuple[Beating, ...]:
    found = processes.read(client)
    with client.pipeline(transaction=False) as pipeline:
        for one in found:
            pipeline.pttl(keys.raw(one.identity))
        left = pipeline.execute()
    beating = []
    for one, remaining in zip(found, left, strict=True):
        # Each beat renews the key's life of 60 s: what is left of it dates the beat by Redis's own clock.
        beat_ago = keys.PROCESS_TTL - remaining / 1000 if remaining > 0 else 0.0
        beating.append(Beating(one, beat_ago, one.beat - (now - beat_ago) if remaining > 0 and one.beat else 0.0))
    return tuple(beating)


def _is_python_s(queue: str, beating: tuple[Beating, ...]) -> bool:
    """Whether pykiq processes serve the queue and no others."""
    serving = [one.seen for one in beating if queue in served(one.seen)]
    return bool(serving) and all(is_python(one) for one in serving)


def served(process: Seen) -> list[str]:
    """The queues that a process says it serves."""
    return untrusted.texts(process.info.get("queues"))


def is_python(process: Seen) -> bool:
    return untrusted.text(process.info.get("version")).startswith("pykiq")


def _scan(client: redis.Redis) -> tuple[list[str], bool]:
    """The names of up to SCANNED keys, and whether those are all."""
    found: list[str] = []
    cursor = 0
    while len(found) < SCANNED:
        answer: Any = client.scan(cursor, count=1000)
        cursor, names = answer
        found += map(text, names)
        if cursor == 0:
            return found, True
    return found, False


def _named(scanned: list[str]) -> set[tuple[str, str]]:
    """The in-flight lists among those keys: their owner may be forgotten."""
    return {pair for name in scanned if (pair := keys.owner_and_queue(name))}

"""The numbers of the dashboard: counters, sets, queues, processes and jobs in flight (WIRE.md §11, §20)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import redis

from pykiq.errors import Unreadable
from pykiq.store import inflight
from pykiq.store.kinds import readable
from pykiq.store.processes import MOST_JOBS
from pykiq.store.queues import text
from pykiq.store.refusals import is_wrong_type
from pykiq.wire import keys, payload, untrusted

_COUNTERS = (keys.STAT_PROCESSED, keys.STAT_FAILED)
_ZSETS = (keys.RETRY, keys.SCHEDULE, keys.DEAD)
_SETS = (keys.PROCESSES, keys.QUEUES, keys.PAUSED)


@dataclass(frozen=True, slots=True)
class QueueStats:
    """One queue: how many jobs wait in it, for how long the oldest has (seconds; 0 when empty or unreadable), and
    whether it is paused."""

    name: str
    size: int
    latency: float
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Stats:
    """What the dashboards show, and what is in flight.

    `processes` counts those whose heartbeat is there, `busy` the jobs they run now. `in_flight` counts the jobs that
    pykiq's processes have claimed and not settled, `orphaned` those of them whose process is gone: about to be taken
    over. `unreadable` are the keys among them all that are of another type than they should be; they count as 0.
    """

    processed: int
    failed: int
    enqueued: int
    retries: int
    scheduled: int
    dead: int
    processes: int
    busy: int
    in_flight: int
    orphaned: int
    queues: tuple[QueueStats, ...]
    unreadable: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self) | {"unreadable": list(self.unreadable)}


def read(client: redis.Redis, now: float) -> Stats:
    """Read everything in a few round trips; `now` is epoch seconds, latencies count up to it."""
    first = client.pipeline(transaction=False)
    for name in _COUNTERS:
        first.get(name)
    for name in _ZSETS:
        first.zcard(name)
    for name in _SETS:
        first.smembers(name)
    told = first.execute(raise_on_error=False)
    unreadable = [
        name for name, answer in zip((*_COUNTERS, *_ZSETS, *_SETS), told, strict=True) if is_wrong_type(answer)
    ]
    processed, failed, retries, scheduled, dead, identities, names, paused = readable(told)

    identities, names, paused = sorted(identities or ()), sorted(names or ()), paused or ()
    second = client.pipeline(transaction=False)
    for identity in identities:
        second.hget(identity, "busy")
    for name in names:
        key = keys.queue("").encode() + name
        second.llen(key)
        second.lindex(key, -1)
    # What is no hash or no list under such a name has nothing to say, and keeps nobody from the other numbers.
    answers = readable(second.execute(raise_on_error=False))
    busy = [untrusted.whole(answer, MOST_JOBS) for answer in answers[: len(identities)] if answer is not None]
    pairs = answers[len(identities) :]
    unreadable += [keys.queue(text(name)) for name, size in zip(names, pairs[::2], strict=True) if size is None]
    queues = tuple(
        QueueStats(text(name), int(size or 0), latency(oldest, now), name in paused)
        for name, size, oldest in zip(names, pairs[::2], pairs[1::2], strict=True)
    )
    held = inflight.read(client)
    return Stats(
        processed=untrusted.whole(processed),
        failed=untrusted.whole(failed),
        enqueued=sum(queue.size for queue in queues),
        retries=untrusted.whole(retries),
        scheduled=untrusted.whole(scheduled),
        dead=untrusted.whole(dead),
        processes=len(busy),
        busy=sum(busy),
        in_flight=sum(one.jobs for one in held),
        orphaned=sum(one.jobs for one in held if not one.alive),
        queues=queues,
        unreadable=tuple(unreadable),
    )


def history(client: redis.Redis, days: int, last: date) -> list[tuple[date, int, int]]:
    """Jobs processed and failed on each of `days` days (UTC) up to `last`, the latest first (WIRE.md §11)."""
    dates = [last - timedelta(days=back) for back in range(days)]
    if not dates:
        return []
    answers: Any = client.mget([keys.stat_processed(day) for day in dates] + [keys.stat_failed(day) for day in dates])
    counts = [untrusted.whole(answer) for answer in answers]
    return list(zip(dates, counts[:days], counts[days:], strict=True))


def reset(client: redis.Redis, names: Sequence[str]) -> None:
    """Set the totals called `names` (`processed`, `failed`) to 0; the counts per day stay."""
    totals = {"processed": keys.STAT_PROCESSED, "failed": keys.STAT_FAILED}
    client.mset({totals[name]: 0 for name in names})


def latency(oldest: bytes | None, now: float) -> float:
    """How long a queue's next job has waited, in seconds; 0 without one, or when its bytes do not say."""
    if oldest is None:
        return 0.0
    try:
        return payload.latency(payload.parse(oldest), now) or 0.0
    except Unreadable:
        return 0.0

"""A filled queue worked off: jobs per second, CPU, memory, Redis commands.

The queue is full before the worker starts. The clock starts when the first jobs are done (the worker is warm) and
stops when the queue is empty; what was done in between counts. The jobs that run at that moment count for neither
system: pykiq's in-flight lists tell how many they are; Sidekiq has as many at the end as it had at the start.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping

import redis

from benchmarks.machine import Bench, System, Worker, cpu_seconds
from benchmarks.rounds import Figure, Once

RATE = Figure("jobs_per_s", "jobs/s", more_is_better=True)
CPU = Figure("cpu_us", "µs CPU per job")
RSS = Figure("rss_mb", "MB resident after all jobs")
COSTS = (
    Figure("redis_cpu_us", "µs CPU of Redis per job", digits=1),
    Figure("commands", "Redis commands per job, those inside scripts too", digits=2),
    Figure("scripts", "script calls per job", digits=3),
    Figure("round_trips", "requests to Redis per job", digits=3),
)
PATIENCE = 120.0  # seconds


def drain(
    job: str,
    count: int,
    *,
    args: list[object] | None = None,
    size: int = 200,
    log: str = "warning",
    processes: int = 1,
) -> Once:
    """A measurement of `count` jobs of class `job`; without `args` the payload is filled up to `size` bytes."""

    def once(bench: Bench, system: System) -> dict[str, float]:
        fill(bench.redis, job, count, args, size)
        watch = Watch(bench.redis)
        with bench.worker(system, log=log, processes=processes) as worker:
            warm = min(500, count // 10)
            worker.wait(lambda: watch.remaining() <= count - warm, PATIENCE, "the first jobs")
            start = Moment(bench, worker, watch)
            worker.wait(lambda: watch.remaining() == watch.held, PATIENCE, "an empty queue")
            costs = Moment(bench, worker, watch).since(start)
            worker.wait(lambda: watch.remaining() == 0, PATIENCE, "the last jobs")
            return costs | {"rss_mb": worker.rss()}

    return once


def fill(client: redis.Redis, job: str, count: int, args: list[object] | None, size: int, first: int = 0) -> None:
    """Push jobs as Sidekiq 8 writes them, equal for both systems. Their jids are numbers, from `first` on."""
    now = int(time.time() * 1000)
    payload = {"retry": True, "queue": "default", "args": args or [""], "class": job, "jid": "0" * 24}
    payload |= {"created_at": now, "enqueued_at": now}
    if args is None:
        payload["args"] = ["x" * max(size - len(json.dumps(payload, separators=(",", ":"))), 0)]
    text = json.dumps(payload, separators=(",", ":"))
    before, after = text.split("0" * 24)
    client.sadd("queues", "default")
    batch = max(1, min(1000, 4_000_000 // size))
    for low in range(first, first + count, batch):
        high = min(low + batch, first + count)
        client.lpush("queue:default", *(f"{before}{number:024x}{after}" for number in range(low, high)))


class Watch:
    """Looks how many jobs are left, and counts its own commands so that they can be subtracted."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self.left = self.held = 0  # jobs at the last look: all that are not done, and of those pykiq's in flight
        self.sent: Counter[str] = Counter()
        self.requests = 0

    def remaining(self) -> int:
        """Jobs in the queue, and those that pykiq holds in flight. In this order: a job is never missed."""
        waiting = self._length(b"queue:default")
        self._count("keys")
        self.held = sum(map(self._length, self._client.keys("pykiq:inflight:*")))
        self.left = waiting + self.held
        return self.left

    def _length(self, key: bytes | str) -> int:
        self._count("llen")
        return int(self._client.llen(key))

    def _count(self, command: str) -> None:
        self.sent[command] += 1
        self.requests += 1

    def load(self) -> tuple[Counter[str], int]:
        """Commands by name, and requests read from sockets, without this object's own."""
        self._count("info")
        stats: Mapping[str, Mapping[str, int]] = self._client.info("commandstats")
        calls = Counter({name.removeprefix("cmdstat_"): int(row["calls"]) for name, row in stats.items()})
        self._count("info")
        reads = int(self._client.info("stats")["total_reads_processed"])
        calls.subtract(self.sent)
        return calls, reads - self.requests


class Moment:
    """All counters at one time."""

    def __init__(self, bench: Bench, worker: Worker, watch: Watch) -> None:
        self.at = time.perf_counter()
        self.left = watch.left
        self.cpu = worker.cpu()
        self.redis_cpu = cpu_seconds(bench.redis_pid)
        self.commands, self.requests = watch.load()

    def since(self, start: Moment) -> dict[str, float]:
        """What each job done since `start` took."""
        jobs = start.left - self.left
        commands = self.commands.copy()
        commands.subtract(start.commands)
        return {
            "jobs_per_s": jobs / (self.at - start.at),
            "cpu_us": (self.cpu - start.cpu) / jobs * 1e6,
            "redis_cpu_us": (self.redis_cpu - start.redis_cpu) / jobs * 1e6,
            "commands": commands.total() / jobs,
            "scripts": (commands["evalsha"] + commands["eval"]) / jobs,
            "round_trips": (self.requests - start.requests) / jobs,
        }

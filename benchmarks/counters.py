"""What a stretch of work cost: jobs done, CPU of worker and Redis, Redis commands and requests."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import redis

from benchmarks.machine import Bench
from benchmarks.processes import Worker, cpu_seconds
from benchmarks.rounds import Figure

RATE = Figure("jobs_per_s", "jobs/s", more_is_better=True)
CPU = Figure("cpu_us", "µs CPU per job")
REDIS_CPU = Figure("redis_cpu_us", "µs CPU of Redis per job", digits=1)
COMMANDS = Figure("commands", "Redis commands per job, those inside scripts too", digits=2)
SCRIPTS = Figure("scripts", "script calls per job", digits=3)
REQUESTS = Figure("round_trips", "requests to Redis per job", digits=3)
LOAD = (CPU, REDIS_CPU, COMMANDS, REQUESTS)


class Watch:
    """Looks how many jobs are left, and counts the benchmark's own commands so that they can be subtracted."""

    def __init__(self, client: redis.Redis, queues: Sequence[str] = ("default",)) -> None:
        self._client = client
        self._queues = queues
        self.left = self.held = 0  # jobs at the last look: all that are not done, and of those pykiq's in flight
        self.sent: Counter[str] = Counter()
        self.requests = 0

    def remaining(self) -> int:
        """Jobs in the queues, and those that pykiq holds in flight. In this order: a job is never missed."""
        waiting = self._lengths(f"queue:{name}" for name in self._queues)
        self.count("keys")
        self.held = self._lengths(self._client.keys("pykiq:inflight:*"))
        self.left = waiting + self.held
        return self.left

    def _lengths(self, keys: Iterable[str | bytes]) -> int:
        with self._client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.llen(key)
                self.sent["llen"] += 1
            self.requests += 1
            return sum(pipeline.execute())

    def count(self, command: str, times: int = 1) -> None:
        """Take note of commands of the benchmark, each a request."""
        self.sent[command] += times
        self.requests += times

    def load(self) -> tuple[Counter[str], int]:
        """Commands by name, and requests read from sockets, without the benchmark's own."""
        self.count("info")
        stats: Mapping[str, Mapping[str, int]] = self._client.info("commandstats")
        calls = Counter({name.removeprefix("cmdstat_"): int(row["calls"]) for name, row in stats.items()})
        self.count("info")
        reads = int(self._client.info("stats")["total_reads_processed"])
        calls.subtract(self.sent)
        return calls, reads - self.requests


class Moment:
    """All counters at one time."""

    def __init__(self, bench: Bench, worker: Worker, watch: Watch) -> None:
        self.left = watch.remaining()
        self.held = watch.held
        self.at = time.perf_counter()
        self.cpu = worker.cpu()
        self.redis_cpu = cpu_seconds(bench.redis_pid)
        self.commands, self.requests = watch.load()

    def since(self, start: Moment, pushed: int = 0) -> dict[str, float]:
        """What each job done since `start` took; `pushed` have come since."""
        jobs = start.left + pushed - self.left
        commands = self.commands.copy()
        commands.subtract(start.commands)
        shared = max(jobs, 1)  # nothing done: all of it was for nothing
        return {
            "jobs_per_s": jobs / (self.at - start.at),
            "cpu_us": (self.cpu - start.cpu) / shared * 1e6,
            "redis_cpu_us": (self.redis_cpu - start.redis_cpu) / shared * 1e6,
            "commands": commands.total() / shared,
            "scripts": (commands["evalsha"] + commands["eval"]) / shared,
            "round_trips": (self.requests - start.requests) / shared,
        }

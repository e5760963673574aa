"""What a wide fleet costs: idle processes, due jobs, and heartbeats of others, at several numbers of processes.

python -m benchmarks.fleet [--processes 1 10 40] [--beside 1000] [--seconds 20] [--jobs 60] [--only idle]
    [--systems pykiq base Sidekiq] [--base FOLDER] [--rounds 3]

Every figure of an idle fleet is per process and second, every one of a due job per job, with what the same fleet costs
while it is idle taken off. CPU time is that of all threads, in nanoseconds as the kernel counts it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from benchmarks.machine import Bench, machine
from benchmarks.payload import JID, fill, written
from benchmarks.processes import BenchmarkError, Worker
from benchmarks.rounds import Figure, Once
from benchmarks.systems import Setup, System

IDLENESS = (
    Figure("commands", "Redis commands/s a process", digits=2),
    Figure("requests", "requests to Redis/s a process", digits=2),
    Figure("cpu_ms", "ms CPU/s a process", digits=2),
    Figure("wakes", "thread wake-ups/s a process", digits=1),
    Figure("redis_ms", "ms CPU of Redis/s", digits=2),
    Figure("read_kb", "kB/s read from Redis", digits=2),
    Figure("connections", "connections"),
)
DUE = (
    Figure("commands", "Redis commands a due job", digits=1),
    Figure("cpu_ms", "ms CPU a due job", digits=2),
    Figure("p50_ms", "ms late, p50", digits=1),
    Figure("p99_ms", "ms late, p99", digits=1),
    Figure("most_ms", "ms late, at most", digits=1),
)
KINDS = ("idle", "beside", "due", "killed")
SETTLED = 12.0  # seconds from the first job of a fleet until it is idle: the first look for due jobs and dead processes
SOONEST, LATEST = 2.0, 12.0  # seconds from now at which due jobs are due
STARTING = 120.0  # seconds that a fleet may take to start


def idle(processes: int, seconds: float, beside: int = 0) -> Once:
    """A measurement of `seconds` of an idle fleet, with `beside` more processes whose heartbeats are only written."""

    def once(bench: Bench, system: System) -> dict[str, float]:
        pretend(bench.redis, beside)
        with fleet(bench, system, processes) as worker:
            start = Moment.of(bench, worker)
            time.sleep(seconds)
            cost = Moment.of(bench, worker).less(start)
        return {
            "commands": cost.commands / seconds / processes,
            "requests": cost.requests / seconds / processes,
            "cpu_ms": cost.cpu * 1000 / seconds / processes,
            "wakes": cost.wakes / seconds / processes,
            "redis_ms": cost.redis_cpu * 1000 / seconds,
            "read_kb": cost.sent / 1000 / seconds,
            "connections": start.connections,
        }

    return once


def due(processes: int, jobs: int) -> Once:
    """A measurement of `jobs` that become due one by one, on a fleet that has nothing else to do."""

    def once(bench: Bench, system: System) -> dict[str, float]:
        bench.stamps.write_text("")
        with fleet(bench, system, processes) as worker:
            seconds = LATEST + 2.0
            start = Moment.of(bench, worker)
            time.sleep(seconds)
            idleness = Moment.of(bench, worker).less(start)
            before = len(stamps(bench))
            start, now, rng = Moment.of(bench, worker), time.time(), random.Random(processes)
            for number in range(jobs):
                schedule(bench.redis, now + rng.uniform(SOONEST, LATEST), number)
            time.sleep(seconds)
            cost = Moment.of(bench, worker).less(start)
            worker.wait(lambda: len(stamps(bench)) >= before + jobs, 30, "the last due job", pause=0.1)
        late = [one * 1000 for one in stamps(bench)[before:]]
        cuts = statistics.quantiles(late, n=100, method="inclusive")
        return {
            "commands": (cost.commands - jobs - idleness.commands) / jobs,  # without the ZADD
            "cpu_ms": (cost.cpu - idleness.cpu) * 1000 / jobs,
            "p50_ms": cuts[49],
            "p99_ms": cuts[98],
            "most_ms": max(late),
        }

    return once


def killed(processes: int, jobs: int) -> Once:
    """The same, but the process that looks for due jobs is killed in the middle: how late are they then?"""

    def once(bench: Bench, system: System) -> dict[str, float]:
        bench.stamps.write_text("")
        with fleet(bench, system, processes) as worker:
            before = len(stamps(bench))
            now, rng = time.time(), random.Random(processes)
            for number in range(jobs):
                schedule(bench.redis, now + rng.uniform(SOONEST, LATEST), number)
            time.sleep((SOONEST + LATEST) / 2)
            identity: Any = bench.redis.get("pykiq:poller")
            if identity is None:
                raise BenchmarkError(f"of {system.name} no process looks for all others")
            os.kill(int(str(identity, "ascii").split(":")[-2]), signal.SIGKILL)  # its parent starts another
            worker.wait(lambda: len(stamps(bench)) >= before + jobs, 60, "the last due job", pause=0.1)
        late = [one * 1000 for one in stamps(bench)[before:]]
        cuts = statistics.quantiles(late, n=100, method="inclusive")
        return {"p50_ms": cuts[49], "p99_ms": cuts[98], "most_ms": max(late)}

    return once


@dataclass(frozen=True)
class Moment:
    """Counters of Redis and of a fleet at one time. CPU in seconds; `sent` in bytes, from Redis to anybody."""

    commands: int
    requests: int
    sent: int
    own: int  # bytes of one answer to this program's own question, of which there are two between two moments
    redis_cpu: float
    connections: int
    cpu: float
    wakes: int

    @staticmethod
    def of(bench: Bench, worker: Worker) -> Moment:
        first = int(bench.redis.info("all")["total_net_output_bytes"])
        told: Mapping[str, Any] = bench.redis.info("all")
        threads = list(threads_of(worker))
        return Moment(
            commands=sum(row["calls"] for name, row in told.items() if name.startswith("cmdstat_")),
            requests=int(told["total_reads_processed"]),
            sent=int(told["total_net_output_bytes"]),
            own=int(told["total_net_output_bytes"]) - first,
            redis_cpu=float(told["used_cpu_user"]) + float(told["used_cpu_sys"]),
            connections=int(told["connected_clients"]) - 1,
            cpu=sum(run for run, _ in threads),
            wakes=sum(switches for _, switches in threads),
        )

    def less(self, start: Moment) -> Moment:
        """What has come since `start`, without what this program has asked for."""
        return Moment(
            self.commands - start.commands - 2,
            self.requests - start.requests - 2,
            self.sent - start.sent - self.own - start.own,
            self.own,
            self.redis_cpu - start.redis_cpu,
            self.connections,
            self.cpu - start.cpu,
            self.wakes - start.wakes,
        )


def threads_of(worker: Worker) -> Iterator[tuple[float, int]]:
    """CPU seconds and voluntary switches (each ends with a wake-up) of every thread of a worker."""
    for pid in worker.pids():
        for task in Path(f"/proc/{pid}/task").iterdir():
            nanoseconds = int((task / "schedstat").read_text().split()[0])
            switches = (task / "status").read_text().partition("\nvoluntary_ctxt_switches:")[2].split()[0]
            yield nanoseconds / 1e9, int(switches)


@contextlib.contextmanager
def fleet(bench: Bench, system: System, processes: int) -> Iterator[Worker]:
    """A fleet of `processes` that has started, run its first jobs and come to rest."""
    before = int(bench.redis.scard("processes"))
    with bench.worker(system, Setup(processes=processes)) as worker:
        listed = f"{processes} processes listed"
        worker.wait(lambda: bench.redis.scard("processes") >= before + processes, STARTING, listed, pause=0.2)
        fill(bench.redis, written("Bench::Noop", []), processes)
        worker.wait(lambda: not bench.redis.llen("queue:default"), STARTING, "the first jobs", pause=0.2)
        time.sleep(SETTLED)
        yield worker


def pretend(client: redis.Redis, count: int) -> None:
    """Write `count` heartbeats, as processes of pykiq that live for an hour, with their leases."""
    for number in range(count):
        identity = f"pretended{number % 50:02d}:{number + 1}:{number:012x}"
        info = {"hostname": identity.partition(":")[0], "started_at": time.time(), "pid": number + 1, "tag": "app"}
        info |= {"concurrency": 10, "queues": ["default"], "weights": [{"default": 0}], "labels": []}
        info |= {"capsules": {"default": {"concurrency": 10, "mode": "strict", "weights": {"default": 0}}}}
        info |= {"identity": identity, "version": "pykiq-0.1.0", "embedded": False, "pykiq": "0.1.0"}
        fields: dict[Any, Any] = {
            "info": json.dumps(info),
            "concurrency": 10,
            "busy": 0,
            "beat": time.time(),
            "quiet": "false",
        }
        with client.pipeline(transaction=False) as pipeline:
            pipeline.sadd("processes", identity)
            pipeline.hset(identity, mapping=fields | {"quiet": "false", "rtt_us": 100, "rss": 40_000})
            pipeline.expire(identity, 3600)
            pipeline.hset("pykiq:owners", identity, '["default"]')
            pipeline.set(f"pykiq:lease:{identity}", identity, ex=3600)
            pipeline.execute()


def schedule(client: redis.Redis, at: float, number: int) -> None:
    """A `Bench::Stamp` that is due `at` (epoch s), and notes how late it is."""
    client.zadd("schedule", {written("Bench::Stamp", [at]).replace(JID, f"{number:024x}"): at})


def stamps(bench: Bench) -> list[float]:
    """Seconds from when each job was due to its start, so far."""
    return [float(line) for line in bench.stamps.read_text().splitlines()]


def row(figures: Iterable[Figure], title: str, system: System, taken: Mapping[str, float]) -> str:
    """One line of text for one measurement."""
    told = "  ".join(f"{taken[one.key]:.{one.digits}f} {one.unit};" for one in figures)
    return f"{title}, {system.name}: {told}"


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description="what a wide fleet costs")
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 10, 40], metavar="N")
    parser.add_argument("--beside", type=int, default=1000, metavar="N", help="heartbeats written beside 10 processes")
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="of idleness; a multiple of 10, a heartbeat's period"
    )
    parser.add_argument("--jobs", type=int, default=60, metavar="N", help="due jobs")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--systems", nargs="+", default=["pykiq"], metavar="NAME", help="pykiq, base, Sidekiq")
    parser.add_argument("--base", metavar="FOLDER", help="another checkout, or a revision of this one")
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="the systems in turns, so often")
    given = parser.parse_args()
    try:
        with machine(given.systems, given.base) as bench:
            for title, figures, once in _chosen(given):
                for _ in range(given.rounds):
                    for system in bench.systems:
                        bench.empty()
                        sys.stdout.write(row(figures, title, system, once(bench, system)) + "\n")
                        sys.stdout.flush()
    except BenchmarkError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _chosen(given: argparse.Namespace) -> Iterator[tuple[str, tuple[Figure, ...], Once]]:
    if "idle" in given.only:
        for processes in given.processes:
            yield f"{processes} idle", IDLENESS, idle(processes, given.seconds)
    if "beside" in given.only:
        yield f"10 idle beside {given.beside} others", IDLENESS, idle(10, given.seconds, given.beside)
    if "due" in given.only:
        for processes in given.processes:
            yield f"due jobs, {processes} processes", DUE, due(processes, given.jobs)
    if "killed" in given.only:
        for processes in given.processes:
            if processes > 1:
                yield f"due jobs, one of {processes} killed", DUE[2:], killed(processes, given.jobs)


if __name__ == "__main__":
    sys.exit(main())

"""A worker's memory over a million jobs: nothing, or failing with a traceback that holds a megabyte.

python -m benchmarks.memory [JOBS] [KIND ...]: resident memory after each tenth, and what it grew by since the first.
Failing jobs have `retry: 0` and end in the dead set, which Redis trims; an error handler hears of all of them.
"""

from __future__ import annotations

import json
import sys

import redis

from benchmarks.counters import Watch
from benchmarks.machine import Bench, alone
from benchmarks.systems import Pykiq, Setup

KINDS = {"def": "Noop", "async def": "AsyncNoop", "failing def": "Fail", "failing async def": "AsyncFail"}
PARTS = 10
PATIENCE = 1800.0  # seconds for a tenth
BATCH = 1000


def main(jobs: int, kinds: list[str]) -> None:
    for kind in kinds:
        with alone() as (bench, pykiq):
            taken = sampled(bench, pykiq, f"Bench::{KINDS[kind]}", jobs // PARTS)
        shown = " ".join(f"{value:.1f}" for value in taken)
        say(f"{kind}: {jobs:,} jobs, MB after each tenth: {shown}; since the first: {taken[-1] - taken[0]:+.1f}")


def sampled(bench: Bench, pykiq: Pykiq, job: str, part: int) -> list[float]:
    """Resident MB after each of ten times `part` jobs of one worker."""
    watch = Watch(bench.redis)
    taken: list[float] = []
    with bench.worker(pykiq, Setup(extras=["listener"])) as worker:
        for number in range(PARTS):
            push(bench.redis, job, number * part, part)
            worker.wait(lambda: watch.remaining() == 0, PATIENCE, "an empty queue", pause=0.05)
            taken.append(worker.rss())
    return taken


def push(client: redis.Redis, job: str, first: int, count: int) -> None:
    client.sadd("queues", "default")
    payload = {"retry": 0, "queue": "default", "args": [""], "class": job, "created_at": 1_750_000_000_000}
    for low in range(first, first + count, BATCH):
        numbers = range(low, min(low + BATCH, first + count))
        client.lpush("queue:default", *(json.dumps(payload | {"jid": f"{number:024x}"}) for number in numbers))


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000, sys.argv[2:] or list(KINDS))

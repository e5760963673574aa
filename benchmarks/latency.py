"""From push to start on an idle worker: one pusher with pauses, both ends on CLOCK_REALTIME."""

from __future__ import annotations

import json
import random
import statistics
import time

import redis

from benchmarks.machine import Bench, System
from benchmarks.rounds import Figure, Once

FIGURES = (Figure("p50_ms", "ms, p50", digits=2), Figure("p99_ms", "ms, p99", digits=2))
PAUSE = (0.01, 0.03)  # seconds between two pushes: time enough for either to be idle again
SETTLED = 1.0  # seconds after the first jobs


def latency(queues: int, count: int) -> Once:
    """A measurement of `count` jobs pushed at random into the `queues` that the worker serves."""
    names = [f"q{number}" for number in range(queues)]

    def once(bench: Bench, system: System) -> dict[str, float]:
        bench.stamps.write_text("")
        bench.redis.sadd("queues", *names)
        with bench.worker(system, queues=names) as worker:

            def stamped(number: int) -> bool:
                return bench.stamps.read_text().count("\n") >= number

            for queue in names:
                push(bench.redis, queue)
            worker.wait(lambda: stamped(queues), 30, "the first jobs")
            time.sleep(SETTLED)
            rng = random.Random(queues)
            for _ in range(count):
                push(bench.redis, rng.choice(names))
                time.sleep(rng.uniform(*PAUSE))
            worker.wait(lambda: stamped(queues + count), 30, "the last jobs")
        took = [float(line) * 1000 for line in bench.stamps.read_text().splitlines()[queues:]]
        cuts = statistics.quantiles(took, n=100, method="inclusive")
        return {"p50_ms": cuts[49], "p99_ms": cuts[98], "most_ms": max(took)}

    return once


def push(client: redis.Redis, queue: str) -> None:
    """The time is taken right before the bytes go to Redis."""
    now = time.time()
    stamp = int(now * 1000)
    payload = {"retry": True, "queue": queue, "args": [now], "class": "Bench::Stamp", "jid": f"{time.time_ns():024x}"}
    payload |= {"created_at": stamp, "enqueued_at": stamp}
    client.lpush(f"queue:{queue}", json.dumps(payload, separators=(",", ":")))

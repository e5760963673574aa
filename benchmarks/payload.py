"""Jobs as Sidekiq 8 writes them, equal for all systems: many at once, or one at a time at a steady rate."""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Sequence

import redis

JID = "0" * 24  # stands for each job's own
BATCH_BYTES = 4_000_000
BATCH_JOBS = 1000


def written(job: str, args: Sequence[object], queue: str = "default", **more: object) -> str:
    """A payload whose jid is `JID`."""
    now = int(time.time() * 1000)
    payload = {"retry": True, "queue": queue, "args": args, "class": job, "jid": JID, "created_at": now}
    return json.dumps(payload | {"enqueued_at": now} | more, separators=(",", ":"))


def of_size(job: str, size: int, queue: str = "default") -> str:
    """A payload with one long argument, `size` bytes in all."""
    return written(job, ["x" * max(size - len(written(job, [""], queue)), 0)], queue)


def wrapped(job: str, args: Sequence[object], queue: str = "default") -> str:
    """A payload of an ActiveJob, as Rails 7.2 and Sidekiq 8 write it."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000000000Z", time.gmtime())
    data: dict[str, object] = {
        "job_class": job,
        "job_id": "401d7771-fe24-451b-a66d-da1687c94a17",
        "provider_job_id": None,
    }
    data |= {"queue_name": queue, "priority": None, "arguments": args, "executions": 0, "exception_executions": {}}
    data |= {"locale": "en", "timezone": "UTC", "enqueued_at": now, "scheduled_at": None}
    return written("Sidekiq::ActiveJob::Wrapper", [data], queue, wrapped=job)


def fill(client: redis.Redis, text: str, count: int, first: int = 0, queue: str = "default") -> None:
    """Push a payload `count` times. Their jids are numbers, from `first` on."""
    before, after = text.split(JID)
    client.sadd("queues", queue)
    batch = max(1, min(BATCH_JOBS, BATCH_BYTES // len(text)))
    for low in range(first, first + count, batch):
        high = min(low + batch, first + count)
        client.lpush(f"queue:{queue}", *(f"{before}{number:024x}{after}" for number in range(low, high)))


class Producer:
    """Pushes `Bench::Timed` jobs at a steady rate, and never waits for whoever works them off.

    Each comes at a random instant within its own interval, so that arrivals keep no step with jobs that end; the same
    instants for all systems. The time in its arguments is taken right before the bytes go to Redis.
    """

    def __init__(self, port: int, pause: float, compute: float, queues: Sequence[str] = ("default",)) -> None:
        self._connection = socket.create_connection(("127.0.0.1", port))
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ends = [
            tuple(written("Bench::Timed", ["@", pause, compute], queue).encode().split(b'"@"')) for queue in queues
        ]
        self._keys = [f"queue:{queue}".encode() for queue in queues]
        self.pushed = 0

    def produce(self, rate: float, seconds: float) -> int:
        """Push for so long; how many that were."""
        rng = random.Random(rate)
        count = max(round(rate * seconds), 2)  # of which there are quantiles
        began = time.perf_counter()
        for number in range(count):
            due = began + (number + rng.random()) / rate
            if (left := due - time.perf_counter()) > 0:
                time.sleep(left)
            self._push(rng.randrange(len(self._keys)) if len(self._keys) > 1 else 0)
        if (left := began + count / rate - time.perf_counter()) > 0:
            time.sleep(left)
        self._read()
        return count

    def _push(self, queue: int) -> None:
        self.pushed += 1
        before, after = self._ends[queue]
        after = after.replace(JID.encode(), b"%024x" % self.pushed, 1)
        key = self._keys[queue]
        job = b"%b%.6f%b" % (before, time.time(), after)
        self._connection.sendall(b"*3\r\n$5\r\nLPUSH\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(key), key, len(job), job))
        if self.pushed % BATCH_JOBS == 0:
            self._read()

    def _read(self) -> None:
        """Read what Redis has answered: lengths of queues, of which nobody wants to know."""
        self._connection.setblocking(False)
        try:
            while self._connection.recv(1 << 16):
                pass
        except BlockingIOError:
            pass
        finally:
            self._connection.setblocking(True)

    def close(self) -> None:
        self._connection.close()

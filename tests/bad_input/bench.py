"""A worker in this process that is given bad input: one for the whole folder, because none of it may stop it."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import redis

from pykiq.config import Config
from pykiq.jobs.handler import for_function
from pykiq.jobs.lifecycle import Lifecycle
from pykiq.jobs.registry import Registry
from pykiq.middleware.chain import Chain, ClientMiddleware, ServerMiddleware
from pykiq.wire.exactjson import loads
from pykiq.worker.process import Process
from tests.servers import wait_until

SETS = ("retry", "schedule", "dead")
_numbers = itertools.count(1)


def payload(name: str, args: Any = (), **more: Any) -> bytes:
    """An ordinary job; `more` adds keys or, with None, takes them away."""
    now = time.time()
    job = {"retry": True, "queue": "default", "args": args, "class": name, "jid": f"{next(_numbers):024x}"}
    job |= {"created_at": now, "enqueued_at": now} | more
    kept = {key: value for key, value in job.items() if value is not None}
    return json.dumps(kept, separators=(",", ":"), ensure_ascii=False).encode()


class Bench:
    """A worker on a thread, and what a test asks about it."""

    def __init__(self, client: redis.Redis, url: str, **settings: Any) -> None:
        self.redis = client
        self.registry = Registry()
        self.hooks = Lifecycle()
        self.on_push: Chain[ClientMiddleware] = Chain()
        self.around_jobs: Chain[ServerMiddleware] = Chain()
        self.ran: list[Any] = []
        self._good: set[int] = set()
        self.handler("GoodJob", lambda number: self._good.add(number))
        self.handler("EchoJob", lambda *args: self.ran.append(args))
        defaults = {"concurrency": 3, "queues": ["default"], "poll_interval": 0.05, "timeout": 2, "wire": "7"}
        self.config = Config.of(redis=url, **(defaults | settings))
        self.code: int | None = None

    def handler(self, name: str, function: Callable[..., Any], **options: Any) -> None:
        hooks = {kind: options.pop(kind, None) for kind in ("retry_in", "retries_exhausted")}
        self.registry.replace(for_function(function, name, {"retry": True, "queue": "default"} | options, **hooks))

    def start(self) -> Bench:
        self.process = Process(
            self.config,
            handlers=self.registry,
            hooks=self.hooks,
            on_push=self.on_push,
            around_jobs=self.around_jobs,
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def _run(self) -> None:
        self.code = self.process.run()

    def stop(self) -> int | None:
        """The exit code."""
        self.process.command("TERM")
        self._thread.join(20)
        return self.code

    def push(self, *jobs: bytes, queue: str = "default") -> None:
        """To run in this order."""
        self.redis.lpush(f"queue:{queue}", *jobs)

    def goes_on(self, queue: str = "default", seconds: float = 10.0) -> None:
        """A good job runs, so the worker is alive."""
        number = next(_numbers)
        self.push(payload("GoodJob", [number]), queue=queue)
        wait_until(lambda: number in self._good, seconds, "the good job after the bad one")

    def take(self, *jobs: bytes, seconds: float = 10.0) -> None:
        """Push jobs, and wait until they are settled and a good job after them has run."""
        if jobs:
            self.push(*jobs)
        self.goes_on(seconds=seconds)
        wait_until(self.settled, seconds, "an empty queue and nothing in flight")

    def settled(self) -> bool:
        return not self.redis.exists("queue:default") and not list(self.redis.scan_iter("pykiq:inflight:*"))

    def in_flight(self) -> list[bytes]:
        return [raw for key in self.redis.scan_iter("pykiq:inflight:*") for raw in self.redis.lrange(key, 0, -1)]

    def entries(self, key: str) -> list[bytes]:
        return list(self.redis.zrange(key, 0, -1))

    def only(self, key: str) -> bytes:
        """The one entry of this set; the other sets are empty."""
        found = {name: self.entries(name) for name in SETS}
        assert [len(found[name]) for name in SETS] == [name == key for name in SETS], found
        return found[key][0]

    def retried(self) -> dict[str, Any]:
        """The one entry there is, in `retry`."""
        job = loads(self.only("retry"))
        assert isinstance(job, dict)
        return job

    def nothing_left(self) -> None:
        assert [self.entries(name) for name in SETS] == [[], [], []]

"""The client: pushes jobs, waiting for Redis in this thread."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import redis as redis_py

from pykiq.client.base import BaseClient
from pykiq.client.diversion import diverted
from pykiq.config import Config
from pykiq.middleware.chain import Chain, ClientMiddleware
from pykiq.store.connection import close, connect, suits
from pykiq.store.fleet import left, read
from pykiq.store.push import PushBatch, push


class Client(BaseClient):
    """Pushes jobs to Redis.

        with pykiq.Client() as client:
            client.push({"class": "HardJob", "args": [1, "two"]})

    `config` is what `pykiq.configure` set unless given. `redis` is a URL to use instead of the one in there, or a
    client of redis-py to use instead of an own one, which this one then never closes. May be shared between threads,
    and used after a fork: the child connects anew.

    Errors of Redis (redis.RedisError) are raised to the caller, and nothing is ever sent twice: when a connection
    breaks after a push was sent, nobody can know whether it was written, and to run a job twice on a guess is the
    caller's decision. A connection that the server or a firewall closed while it was idle is noticed BEFORE anything
    is sent, and replaced: redis-py looks at the socket when it takes it from the pool. What a server
    refuses because it is no master any more (READONLY) was not written, and is sent once more, on a new connection.
    """

    def __init__(
        self,
        config: Config | None = None,
        redis: redis_py.Redis | str | None = None,
        *,
        middleware: Chain[ClientMiddleware] | None = None,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        super().__init__(config, redis, middleware=middleware, clock=clock, rng=rng)
        self._given: redis_py.Redis | None = None if isinstance(redis, str) else redis
        if self._given is not None:
            suits(self._given, asynchronous=False)
        self._own: dict[int, redis_py.Redis] = {}  # process id → client: a forked child must not share a socket

    @property
    def redis(self) -> redis_py.Redis:
        """The redis-py client this one sends with, in this process."""
        if self._given is not None:
            return self._given
        mine = self._own.get(os.getpid())
        if mine is None:
            # Without a lock, which a fork could leave locked for ever: of two threads, setdefault lets one win.
            mine = self._own.setdefault(os.getpid(), connect(self.config))
        return mine

    def push(self, item: Mapping[str, Any]) -> str | None:
        """Push one job and return its jid; None when a client middleware stopped it.

        `item` has `class` and `args`, and any other key of the payload. `at` is epoch seconds (or a datetime with a
        time zone) and is stored as it is, also when it is past (WIRE.md §4.3).
        Raises PayloadError or ArgumentsError when the job is refused, redis.RedisError when Redis is.
        """
        self._tell_pytest()
        self._look_at_fleet()
        jid, batches = self._one(item)
        self._send(batches)
        return jid

    def push_bulk(self, item: Mapping[str, Any], *, batch_size: int | None = None) -> list[str | None]:
        """Push many jobs of one class, and return their jids: None for those a client middleware stopped.

            client.push_bulk({"class": "HardJob", "args": ([n] for n in range(1_000_000))})

        `args` is any iterable of argument lists; it is read and sent in slices (WIRE.md §4.4) of `batch_size`, 1000
        unless given. `at` is one moment, or one per job (None: now); `spread_interval` instead spreads the jobs at
        random over the next that many seconds. Raises as `push` does; slices before the bad job are written then.
        """
        self._tell_pytest()
        self._look_at_fleet()
        jids: list[str | None] = []
        for part in self._many(item, batch_size):
            self._send(part.batches)
            jids += part.jids
        return jids

    def enqueue(self, job_class: object, *args: Any) -> str | None:
        """Push a job of `job_class`, a name or something declared, with `args`. Returns and raises as `push`."""
        return self.push({"class": job_class, "args": args})

    def close(self) -> None:
        """Close the connections this client made in this process. It connects again when it is used again."""
        mine = self._own.pop(os.getpid(), None)
        if mine is not None:
            close(mine)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, batches: Sequence[PushBatch]) -> None:
        sink = diverted()
        if sink is None:
            push(self.redis, batches)
        else:
            sink.take(batches)

    def _look_at_fleet(self) -> None:
        if self._needs_fleet():
            self._saw(left(self.redis) or read(self.redis))

"""The client for asyncio: pushes jobs without blocking the event loop."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import redis.asyncio as aioredis

from pykiq.client.base import BaseClient
from pykiq.client.diversion import diverted
from pykiq.config import Config
from pykiq.middleware.chain import Chain, ClientMiddleware, is_awaited
from pykiq.middleware.onloop import away_from_the_loop
from pykiq.store.batching import Batcher
from pykiq.store.connection import aclose, aconnect, suits
from pykiq.store.fleet import aleft, aread
from pykiq.store.push import PushBatch, apush

T = TypeVar("T")


class AsyncClient(BaseClient):
    """Pushes jobs to Redis from asyncio; everything else is as in `Client`. Client middleware that is `async def` runs
    on the loop of whoever awaits the push.

        async with pykiq.AsyncClient() as client:
            await client.push({"class": "HardJob", "args": [1, "two"]})

    Pushes that are made at the same time, as by `asyncio.gather`, share a round trip and a connection; each has its own
    result, and its own error. Connections belong to the event loop they were made on: one client may be used on several
    loops, one after the other or in several threads, and has connections for each.
    """

    def __init__(
        self,
        config: Config | None = None,
        redis: aioredis.Redis | str | None = None,
        *,
        middleware: Chain[ClientMiddleware] | None = None,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        super().__init__(config, redis, middleware=middleware, clock=clock, rng=rng)
        self._given: aioredis.Redis | None = None if isinstance(redis, str) else redis
        if self._given is not None:
            suits(self._given, asynchronous=True)
        self._pid = os.getpid()
        self._own: dict[asyncio.AbstractEventLoop, _OnLoop] = {}

    async def push(self, item: Mapping[str, Any]) -> str | None:
        """As `Client.push`."""
        self._tell_pytest()
        if self._needs_fleet():
            await self._look_at_fleet()
        jid, batches = await self._built(lambda: self._one(item)) if self._awaits() else self._one(item)
        sink = diverted()
        if sink is not None:
            await sink.atake(batches)
        elif batches:
            await (await self._here()).batcher.push(batches)
        return jid

    async def push_bulk(self, item: Mapping[str, Any], *, batch_size: int | None = None) -> list[str | None]:
        """As `Client.push_bulk`."""
        self._tell_pytest()
        if self._needs_fleet():
            await self._look_at_fleet()
        jids: list[str | None] = []
        parts = self._many(item, batch_size)
        while (part := await self._built(lambda: next(parts, None))) is not None:
            await self._send(part.batches)
            jids += part.jids
        return jids

    async def enqueue(self, job_class: object, *args: Any) -> str | None:
        """As `Client.enqueue`."""
        return await self.push({"class": job_class, "args": args})

    async def close(self) -> None:
        """Close the connections this client made on the running loop. It connects again when it is used again."""
        mine = self._own.get(asyncio.get_running_loop())
        if mine is not None:
            await mine.until_closed.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _awaits(self) -> bool:
        return any(map(is_awaited, self.middleware))

    async def _built(self, build: Callable[[], T]) -> T:
        """What `build` returns; in a thread when there are `async def` middlewares, which run on this loop then."""
        if self._awaits():
            return await away_from_the_loop(build)
        return build()

    async def _send(self, batches: Sequence[PushBatch]) -> None:
        sink = diverted()
        if sink is None:
            await apush(await self._redis(), batches)
        else:
            await sink.atake(batches)

    async def _look_at_fleet(self) -> None:
        here = await self._here()
        if here.looking is None:  # however many push at once, one of them looks
            here.looking = asyncio.create_task(self._look(here))
        await asyncio.shield(here.looking)

    async def _look(self, here: _OnLoop) -> None:
        try:
            self._saw(await aleft(here.redis) or await aread(here.redis))
        finally:
            here.looking = None

    async def _redis(self) -> aioredis.Redis:
        return (await self._here()).redis

    async def _here(self) -> _OnLoop:
        if self._pid != os.getpid():  # a forked child must not share a socket
            self._pid = os.getpid()
            self._own = {}
        loop = asyncio.get_running_loop()
        mine = self._own.get(loop)
        if mine is None:
            redis = aconnect(self.config) if self._given is None else self._given
            mine = self._own[loop] = _OnLoop(redis, Batcher(redis), self._until_closed(loop, redis))
            await anext(mine.until_closed)
        return mine

    async def _until_closed(self, loop: asyncio.AbstractEventLoop, redis: aioredis.Redis) -> AsyncGenerator[None, None]:
        """Waits at its `yield` for `close`, or for the end of the loop.

        The only thing that a loop ends by itself are its asynchronous generators: this is how the connections behind
        `await charge.aperform_async(42)`, which nobody closes, are closed when `asyncio.run` returns.
        """
        try:
            yield
        finally:
            self._own.pop(loop, None)
            if self._given is None:
                await aclose(redis)


@dataclass(slots=True)
class _OnLoop:
    """What a client has on one event loop."""

    redis: aioredis.Redis
    batcher: Batcher
    until_closed: AsyncGenerator[None, None]
    looking: asyncio.Task[None] | None = None
    """Whoever reads the fleet; all others wait for it."""

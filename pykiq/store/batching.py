"""Pushes that are made in the same turn of an event loop travel together: in one round trip, on one connection.

`asyncio.gather` of three hundred pushes is three hundred writes, reads and wake-ups otherwise, on as many connections.
A push that is alone in its turn pays for looking whether it is.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator, Sequence

import redis.asyncio

from pykiq.store.push import PushBatch, apush, apush_together

LARGE = 65_536  # bytes; a larger push travels alone: what Redis hangs up on must take no others with it
MOST_PUSHES = 1000  # of one round trip, as of a slice of a bulk push
MOST_BYTES = 1_000_000  # of one round trip


class _Push:
    """One that waits for the turn to end, and then for Redis."""

    __slots__ = ("batches", "done", "size")

    def __init__(self, batches: Sequence[PushBatch], size: int, done: asyncio.Future[None]) -> None:
        self.batches = batches
        self.size = size
        self.done = done


class Batcher:
    """The pushes of one client on one event loop."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._gathered: list[_Push] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def push(self, batches: Sequence[PushBatch]) -> None:
        """As `store.push.apush`. One that is cancelled before it is sent has written nothing."""
        size = _size(batches)
        if size > LARGE:
            await apush(self._client, batches)
            return
        loop = asyncio.get_running_loop()
        push = _Push(batches, size, loop.create_future())
        self._gathered.append(push)
        if self._gathered[0] is push:
            try:
                await asyncio.sleep(0)  # the others that this turn has woken push meanwhile
            except BaseException:  # it is cancelled; they are not
                push.done.cancel()
                self._send(loop)
                raise
            if len(self._gathered) == 1:
                self._gathered = []
                await apush(self._client, batches)
                return
            self._send(loop)
        await push.done

    def _send(self, loop: asyncio.AbstractEventLoop) -> None:
        gathered, self._gathered = self._gathered, []
        for together in _slices(gathered):
            if loop.is_closed():
                return
            task = loop.create_task(self._round_trip(together))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _round_trip(self, gathered: Sequence[_Push]) -> None:
        pushes = [push for push in gathered if not push.done.done()]  # else it was cancelled
        if not pushes:
            return
        errors: Sequence[Exception | None]
        try:
            errors = await apush_together(self._client, [push.batches for push in pushes])
        except asyncio.CancelledError:  # the loop ends
            for push in pushes:
                push.done.cancel()
            raise
        except Exception as error:
            errors = [_copied(error) for _ in pushes]
        for push, refused in zip(pushes, errors, strict=True):
            if push.done.done():
                continue
            if refused is None:
                push.done.set_result(None)
            else:
                push.done.set_exception(refused)


def _copied(error: Exception) -> Exception:
    """One of their own for each of those who raise it: they add to its traceback."""
    copied = copy.copy(error)
    copied.__cause__ = error
    return copied


def _size(batches: Sequence[PushBatch]) -> int:
    return sum(len(entry if isinstance(entry, bytes) else entry[1]) for batch in batches for entry in batch.entries)


def _slices(pushes: Sequence[_Push]) -> Iterator[list[_Push]]:
    """`pushes` in their order, as many at a time as may travel together."""
    together: list[_Push] = []
    size = 0
    for push in pushes:
        if together and (len(together) == MOST_PUSHES or size + push.size > MOST_BYTES):
            yield together
            together, size = [], 0
        together.append(push)
        size += push.size
    if together:
        yield together

"""Writing new jobs: what a push is in Redis commands, and sending them.

One pipeline without MULTI, as Ruby sends it (WIRE.md §4.2): a queue's name in `queues` before its first job is
harmless, and a single LPUSH or ZADD is atomic by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import redis
import redis.asyncio

from pykiq.store.refusals import is_demoted
from pykiq.store.roundtrip import Command, around_trip, round_trip
from pykiq.wire import keys


@dataclass(frozen=True, slots=True)
class PushBatch:
    """Payloads that one command writes: to the list of `queue`, or, when `scheduled`, to the `schedule` sorted set.

    `entries` are payloads, in the order in which they shall run, or pairs of score (epoch seconds) and payload.
    """

    queue: str
    scheduled: bool
    entries: tuple[bytes, ...] | tuple[tuple[int | float, bytes], ...]


def commands(batches: Sequence[PushBatch]) -> list[Command]:
    """The commands that write `batches`: one SADD of all queues, then an LPUSH or ZADD per batch."""
    queues = dict.fromkeys(batch.queue for batch in batches if not batch.scheduled)
    written: list[Command] = [("SADD", keys.QUEUES, *queues)] if queues else []
    for batch in batches:
        if batch.scheduled:
            pairs = (part for pair in batch.entries for part in pair)
            written.append(("ZADD", keys.SCHEDULE, *pairs))
        else:
            written.append(("LPUSH", keys.queue(batch.queue), *cast("tuple[bytes, ...]", batch.entries)))
    return written


def push(client: redis.Redis, batches: Sequence[PushBatch]) -> None:
    """Send `batches` in one round trip. Raises redis.RedisError; what was written by then is not known.

    What a server refuses because it is no master is sent once more, on a new connection: it has written nothing.
    """
    if batches:
        sent = commands(batches)
        answers = round_trip(client, sent)
        again = _refused(sent, answers)
        _check(answers + round_trip(client, again) if again else answers)


async def apush(client: redis.asyncio.Redis, batches: Sequence[PushBatch]) -> None:
    """The same for asyncio."""
    if batches:
        sent = commands(batches)
        answers = await around_trip(client, sent)
        again = _refused(sent, answers)
        _check(answers + await around_trip(client, again) if again else answers)


def _refused(sent: Sequence[Command], answers: list[Any]) -> list[Command]:
    """The commands to send again. Their answers are taken out: what counts is the second one."""
    again = [command for command, answer in zip(sent, answers, strict=True) if is_demoted(answer)]
    if again:
        answers[:] = [answer for answer in answers if not is_demoted(answer)]
    return again


def _check(answers: list[Any]) -> None:
    for answer in answers:
        if isinstance(answer, redis.RedisError):
            raise answer

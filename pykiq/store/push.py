"""Writing new jobs: what a push is in Redis commands, and sending them.

One pipeline without MULTI, as Ruby sends it (WIRE.md §4.2): a queue's name in `queues` before its first job is
harmless, and a single LPUSH or ZADD is atomic by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
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
        again = _refused(answers)
        if again:
            _replace(answers, again, round_trip(client, [sent[place] for place in again]))
        _check(answers)


async def apush(client: redis.asyncio.Redis, batches: Sequence[PushBatch]) -> None:
    """The same for asyncio."""
    if batches:
        _check(await _answers(client, commands(batches)))


async def apush_together(
    client: redis.asyncio.Redis, pushes: Sequence[Sequence[PushBatch]]
) -> list[redis.RedisError | None]:
    """Send what several have pushed in one round trip, one command per queue; what Redis has refused of each of them.

    A command is refused as a whole, so whoever is told of an error has written nothing with it. Raises as `push`.
    """
    merged: dict[tuple[str, bool], list[Any]] = {}
    for batch in chain.from_iterable(pushes):
        merged.setdefault((batch.queue, batch.scheduled), []).extend(batch.entries)
    sent = commands([PushBatch(queue, scheduled, tuple(entries)) for (queue, scheduled), entries in merged.items()])
    answers = await _answers(client, sent)
    listed = (
        answers.pop(0) if len(answers) > len(merged) else None
    )  # of the SADD, which all but the scheduled ones need
    written = dict(zip(merged, answers, strict=True))
    return [
        next(
            (
                answer
                for batch in batches
                for answer in (None if batch.scheduled else listed, written[batch.queue, batch.scheduled])
                if isinstance(answer, redis.RedisError)
            ),
            None,
        )
        for batches in pushes
    ]


async def _answers(client: redis.asyncio.Redis, sent: Sequence[Command]) -> list[Any]:
    answers = await around_trip(client, sent)
    again = _refused(answers)
    if again:
        _replace(answers, again, await around_trip(client, [sent[place] for place in again]))
    return answers


def _refused(answers: Sequence[Any]) -> list[int]:
    """The places of the commands to send again."""
    return [place for place, answer in enumerate(answers) if is_demoted(answer)]


def _replace(answers: list[Any], places: Sequence[int], others: Sequence[Any]) -> None:
    """What counts of a command that was sent again is the second answer."""
    for place, answer in zip(places, others, strict=True):
        answers[place] = answer


def _check(answers: Sequence[Any]) -> None:
    for answer in answers:
        if isinstance(answer, redis.RedisError):
            raise answer

"""Settling: what became of a finished job is written, and it leaves in-flight, in one atomic step.

The removal decides: a job that is no longer in this process's in-flight list was taken over by another process, and
nothing is written for it. A settlement can therefore be repeated until Redis answers.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1
from itertools import chain
from typing import Any

from pykiq.config import Config
from pykiq.records import Acknowledge, Bury, Fate, Later, Outcome, PutBack, Settled, Word, Write
from pykiq.store.claim import Berth
from pykiq.store.scripts import Call, script
from pykiq.wire import keys

FEW = 8  # jobs that are done: up to so many a removal each costs Redis less than a script

LARGE = 1000
"""Bytes of a job from which on a removal of its own costs less than the copies that a script makes of its argument."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Outcomes that are settled in one call, in the order in which that is done and answered: as they are iterated."""

    large: Sequence[Outcome]  # done and large: each is a removal and no more
    done: Mapping[str, Sequence[Outcome]]  # the others that are done, by queue
    written: Sequence[Outcome]  # all others

    def __iter__(self) -> Iterator[Outcome]:
        return chain(self.large, *self.done.values(), self.written)


def in_order(outcomes: Iterable[Outcome]) -> Batch:
    """Sort outcomes for one call.

    Jobs put back go to the head of their queue, so the last one written is the next to run: of those, the one claimed
    last is written first.
    """
    large: list[Outcome] = []
    done: dict[str, list[Outcome]] = {}
    written: list[Outcome] = []
    back: list[Outcome] = []
    for outcome in outcomes:
        kind = type(outcome.write)
        if kind is Acknowledge:
            queue, raw, _ = outcome.claimed
            if len(raw) >= LARGE:
                large.append(outcome)
            elif queue in done:
                done[queue].append(outcome)
            else:
                done[queue] = [outcome]
        else:
            (back if kind is PutBack else written).append(outcome)
    # A stable sort: jobs of one claim share their time, and the last of those must be written first too.
    back.reverse()
    back.sort(key=lambda outcome: outcome.claimed.claimed_at, reverse=True)
    return Batch(large, done, written + back)


def settle_call(berth: Berth, batch: Batch, now: float, config: Config) -> Call:
    """One call that settles all of a batch. `now` is in epoch seconds.

    Where nothing is written, the removal is all there is to do. A large job's needs no script, and a few small jobs'
    need none either.
    """
    alone = list(batch.large)
    if not batch.written and sum(map(len, batch.done.values())) <= FEW:
        alone += chain(*batch.done.values())
    before = [("LREM", berth.inflight(one.claimed.queue), -1, one.claimed.raw) for one in alone]
    if len(alone) > len(batch.large) or not (batch.done or batch.written):
        return Call(None, [], [], before)
    queues: dict[str, int] = {}
    args: list[Any] = [now, now - config.dead_timeout, config.dead_max_jobs]
    for queue, jobs in batch.done.items():
        args += (queues.setdefault(queue, len(queues) + 1), "done", len(jobs))
        args += [one.claimed.raw for one in jobs]
    for outcome in batch.written:
        queue, raw, _ = outcome.claimed
        args += (queues.setdefault(queue, len(queues) + 1), *_operation(outcome.write), raw, queue)
    pairs = [key for queue in queues for key in (berth.inflight(queue), keys.queue(queue))]
    return Call(script("settle"), [keys.RETRY, keys.SCHEDULE, keys.DEAD, keys.QUEUES, *pairs], args, before)


def settle_unsent_call(berth: Berth, outcome: Outcome, now: float, config: Config) -> Call:
    """One call that settles a job whose bytes Redis will not take from us: what is written is the job as it is.

    Done is done and back is back; what was snoozed waits as it was; what failed goes to the dead set.
    """
    queue, raw, _ = outcome.claimed
    match outcome.write:
        case Acknowledge():
            operation = "done"
        case PutBack():
            operation = "back"
        case Later(key=keys.SCHEDULE):
            operation = "schedule"
        case _:
            operation = "dead"
    at = outcome.write.at if isinstance(outcome.write, Later) else 0
    size, digest = len(raw), sha1(raw, usedforsecurity=False).hexdigest()
    return unsent_call(berth, queue, size, digest, operation, now, config, at)


def unsent_call(
    berth: Berth, queue: str, size: int, digest: str, operation: str, now: float, config: Config, at: float = 0
) -> Call:
    """The same for a job of which only its size and its SHA-1 are known. `operation` is one of the script's."""
    return Call(
        script("settle_unsent"),
        [berth.inflight(queue), keys.queue(queue), keys.QUEUES, keys.DEAD, keys.SCHEDULE],
        [size, digest, operation, queue, now, now - config.dead_timeout, config.dead_max_jobs, at],
    )


def read_settled(batch: Batch, answer: Sequence[int], doubtful: Container[int] = ()) -> list[Settled]:
    """What the script wrote, per outcome.

    `doubtful` are the ids of outcomes that were sent before and not answered: one of them that is gone from in-flight
    was almost certainly written that first time. Its lease would have had to run out in between to say otherwise.
    """
    return [
        Settled(outcome, fate(outcome) if found or id(outcome) in doubtful else Fate.TAKEN_OVER)
        for outcome, found in zip(batch, answer, strict=True)
    ]


def _operation(write: Write) -> tuple[str, float | str, bytes]:
    match write:
        case Later(key=key, at=at, entry=entry):
            return ("retry" if key == keys.RETRY else "schedule"), at, entry
        case Bury(entry=entry):
            return "dead", "", entry
        case PutBack():
            return "back", "", b""
        case Acknowledge():
            raise AssertionError("what is only removed is no write")


def fate(outcome: Outcome) -> Fate:
    """What settling this outcome writes, if the job is still this process's."""
    match outcome.write:
        case Acknowledge():
            if not outcome.discarded:
                return Fate.DONE
            return Fate.EXPIRED if outcome.word is Word.EXPIRED else Fate.DISCARDED
        case Later():
            return Fate.SNOOZED if outcome.word is Word.SNOOZED else Fate.RETRY
        case Bury():
            return Fate.DEAD
        case PutBack():
            return Fate.REQUEUED if outcome.word is Word.INTERRUPTED else Fate.HANDED_BACK

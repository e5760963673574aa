"""Settling: what became of a finished job is written, and it leaves in-flight, in one atomic step.

The removal decides: a job that is no longer in this process's in-flight list was taken over by another process, and
nothing is written for it. A settlement can therefore be repeated until Redis answers.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from pykiq.config import Config
from pykiq.records import Acknowledge, Bury, Fate, Later, Outcome, PutBack, Settled, Word
from pykiq.store.claim import Berth
from pykiq.store.scripts import Call, script
from pykiq.wire import keys

LARGE = 1000
"""Bytes of a job from which on a removal of its own costs less than the copies that a script makes of its argument."""


def settle_call(berth: Berth, outcomes: Sequence[Outcome], now: float, config: Config) -> Call:
    """One call that settles all of `outcomes`. `now` is in epoch seconds.

    Where nothing is written, the removal is all there is to do, and a large job's needs no script.
    """
    removals, writes = _in_order(outcomes)
    before = [("LREM", berth.inflight(one.claimed.queue), -1, one.claimed.raw) for one in removals]
    if not writes:
        return Call(None, [], [], before)
    queues: dict[str, int] = {}
    args: list[Any] = [now, now - config.dead_timeout, config.dead_max_jobs]
    for outcome in writes:
        claimed = outcome.claimed
        pair = queues.setdefault(claimed.queue, len(queues) + 1)
        if isinstance(outcome.write, Acknowledge):
            args += (pair, b"done", claimed.raw)
        else:
            op, score, entry = _operation(outcome.write)
            args += (pair, op, claimed.raw, claimed.queue, score, entry)
    pairs = [key for queue in queues for key in (berth.inflight(queue), keys.queue(queue))]
    return Call(script("settle"), [keys.RETRY, keys.SCHEDULE, keys.DEAD, keys.QUEUES, *pairs], args, before)


def read_settled(outcomes: Sequence[Outcome], answer: Sequence[int], doubtful: Container[int] = ()) -> list[Settled]:
    """What the script wrote, per outcome.

    `doubtful` are the ids of outcomes that were sent before and not answered: one of them that is gone from in-flight
    was almost certainly written that first time. Its lease would have had to run out in between to say otherwise.
    """
    removals, writes = _in_order(outcomes)
    return [
        Settled(outcome, fate(outcome) if found or id(outcome) in doubtful else Fate.TAKEN_OVER)
        for outcome, found in zip(removals + writes, answer, strict=True)
    ]


def _in_order(outcomes: Sequence[Outcome]) -> tuple[list[Outcome], list[Outcome]]:
    """The large ones that are only removed, and all others, in the order in which they are settled.

    Jobs put back go to the head of their queue, so the last one written is the next to run: of those, the one claimed
    last is written first.
    """
    removals, writes, back = [], [], []
    for outcome in outcomes:
        if isinstance(outcome.write, PutBack):
            back.append(outcome)
        elif isinstance(outcome.write, Acknowledge) and len(outcome.claimed.raw) >= LARGE:
            removals.append(outcome)
        else:
            writes.append(outcome)
    # A stable sort: jobs of one claim share their time, and the last of those must be written first too.
    back.reverse()
    back.sort(key=lambda outcome: outcome.claimed.claimed_at, reverse=True)
    return removals, writes + back


def _operation(write: Later | Bury | PutBack) -> tuple[str, float | str, bytes]:
    match write:
        case Later(key=key, at=at, entry=entry):
            return ("retry" if key == keys.RETRY else "schedule"), at, entry
        case Bury(entry=entry):
            return "dead", "", entry
        case PutBack():
            return "back", "", b""


def fate(outcome: Outcome) -> Fate:
    """What settling this outcome writes, if the job is still this process's."""
    match outcome.write:
        case Acknowledge():
            return Fate.DISCARDED if outcome.discarded else Fate.DONE
        case Later():
            return Fate.SNOOZED if outcome.word is Word.SNOOZED else Fate.RETRY
        case Bury():
            return Fate.DEAD
        case PutBack():
            return Fate.REQUEUED if outcome.word is Word.INTERRUPTED else Fate.HANDED_BACK

"""What is done to jobs that nobody here runs, told as what became of those that ran: takeovers, and jobs buried.

A job may go to the dead set from a sweep, from the poller or from a swarm's keeper. None of them tells anybody itself:
a log that hangs or a death handler that takes a minute must not keep it from the next process that has died.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from pykiq.records import Bury, Claimed, Fate, Foreign, Outcome, Settled, Started, Takeover, Word
from pykiq.store.due import Move
from pykiq.wire import payload
from pykiq.worker.failing import POISON_PILL, poison_message


class Report(Protocol):
    """What takes a batch to whoever shall hear of it, and never blocks: a `Reporter`."""

    def __call__(
        self,
        started: Sequence[Started],
        settled: Sequence[Settled],
        met: Sequence[Foreign] = (),
        taken: Sequence[Takeover] = (),
    ) -> None: ...


def carry_out(takeovers: Iterable[Takeover], report: Report) -> None:
    """Take over, and report what was taken over: also when one fails, which is raised."""
    taken: list[Takeover] = []
    try:
        for one in takeovers:
            taken.append(one)  # noqa: PERF402 -- what a list() had read would be gone when it raises
    finally:
        if taken:
            report([], [poisoned(one) for one in taken if one.poison], (), taken)


def poisoned(one: Takeover) -> Settled:
    """What became of a job that was taken over once too often."""
    told = (Word.POISON, POISON_PILL, poison_message(one.owner))
    return _buried(one.raw, one.queue, one.dead_entry, *told, began=one.started_at or 0.0)


def unusable(move: Move, key: str) -> Settled:
    """What became of an entry that was due in the set `key` and cannot be pushed."""
    told = (Word.UNREADABLE, "Unreadable", f"due in `{key}`, and cannot be pushed: {move.why}")
    return _buried(move.member, payload.told(move.member).queue, move.entry, *told)


def _buried(
    raw: bytes, queue: str, entry: bytes, word: Word, error_class: str, message: str, *, began: float = 0.0
) -> Settled:
    job = payload.told(raw)
    outcome = Outcome(
        *(Claimed(queue, raw, began), word, Bury(entry), job.name, job.jid, began),
        error_class=error_class,
        error_message=message,
        died=True,
    )
    return Settled(outcome, Fate.DEAD)

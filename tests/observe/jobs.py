"""Records as a worker would make them, for the tests of this room."""

from __future__ import annotations

from typing import Any

from pykiq.records import Acknowledge, Assigned, Claimed, Fate, Outcome, Settled, Started, Word, Write


def assigned(name: str = "Billing::ChargeJob", queue: str = "critical", **payload: Any) -> Assigned:
    claimed = Claimed(queue=queue, raw=b"{}", claimed_at=1_700_000_010.0)
    return Assigned(claimed=claimed, payload=payload, handler=None, name=name, jid="ab12")  # type: ignore[arg-type]


def started(*arguments: Any, at: float = 1_700_000_010.5, **payload: Any) -> Started:
    return assigned(*arguments, **payload), at


def settled(
    word: Word = Word.DONE,
    fate: Fate = Fate.DONE,
    *,
    name: str = "Billing::ChargeJob",
    queue: str = "critical",
    write: Write | None = None,
    elapsed: float = 0.25,
    **outcome: Any,
) -> Settled:
    return Settled(
        Outcome(
            claimed=Claimed(queue=queue, raw=b'{"args":["secret-argument"]}', claimed_at=1_700_000_010.0),
            word=word,
            write=write or Acknowledge(),
            name=name,
            jid="ab12",
            started_at=1_700_000_010.5,
            elapsed=elapsed,
            **outcome,
        ),
        fate,
    )

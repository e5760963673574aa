"""The records one job passes through: Claimed → Assigned → Outcome → Settled.

Each is small, frozen, and carries the one before it. The raw bytes are kept from the claim to the end: a requeue, a
retry or a dead entry starts from them, never from what a handler or a middleware did to the parsed payload.

They are named tuples because four are made for every job: a frozen dataclass takes three times as long to make.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pykiq.jobs.handler import Handler


class Claimed(NamedTuple):
    """A job in this process's in-flight list. `claimed_at` is in epoch seconds."""

    queue: str
    raw: bytes
    claimed_at: float


class Assigned(NamedTuple):
    """A claimed job whose handler is found. `payload` is a private parse of the raw bytes."""

    claimed: Claimed
    payload: dict[str, Any]
    handler: Handler
    name: str  # the class as people know it: `display_class`, `wrapped` or `class`
    jid: str


Started = tuple[Assigned, float]
"""A job whose handler has begun, and when (epoch s)."""


class Word(StrEnum):
    """How a job ended: the closed set that settling switches over."""

    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"  # too old to start
    INTERRUPTED = "interrupted"  # still running at the shutdown deadline
    SNOOZED = "snoozed"
    FOREIGN = "foreign"  # no handler in this process
    UNREADABLE = "unreadable"  # not a job at all
    UNSTARTED = "unstarted"  # claimed, but there was no slot for it
    POISON = "poison_pill"  # taken over from processes that died, once too often


class Acknowledge(NamedTuple):
    """Remove the job from in-flight; write nothing."""


class Later(NamedTuple):
    """Remove it from in-flight and add `entry` to the sorted set `key` (`retry` or `schedule`) at `at` (epoch s)."""

    key: str
    at: float
    entry: bytes


class Bury(NamedTuple):
    """Remove it from in-flight and add `entry` to the dead set."""

    entry: bytes


class PutBack(NamedTuple):
    """Remove it from in-flight and put its bytes back at the head of its queue."""


Write = Acknowledge | Later | Bury | PutBack


class Raised(NamedTuple):
    """What error and death handlers are told: the entry and the exception itself.

    `whole` lives as long as this record: by it those are counted whose exception still has all its locals.
    """

    job: Mapping[str, Any]
    error: BaseException
    whole: object = None


class Outcome(NamedTuple):
    """What happened to a claimed job, and what Redis shall hold because of it.

    `elapsed` is in seconds. The error is kept as text, already described, so that no traceback and none of its
    locals outlive the job. `raised` is for the process's error and death handlers alone.
    """

    claimed: Claimed
    word: Word
    write: Write
    name: str = ""
    jid: str = ""
    started_at: float = 0.0
    elapsed: float = 0.0
    error_class: str | None = None
    error_message: str | None = None
    discarded: bool = False
    died: bool = False  # no retries left: death handlers run
    raised: Raised | None = None
    broken_hooks: tuple[tuple[str, BaseException], ...] = ()  # the job's own hooks that raised, by name
    trace: str = ""  # the error's traceback, for the log


class Fate(StrEnum):
    """What settling wrote, in the words of the log and of the metrics."""

    DONE = "done"
    RETRY = "retry"
    DEAD = "dead"
    DISCARDED = "discarded"
    EXPIRED = "expired"
    SNOOZED = "snoozed"
    REQUEUED = "requeued"
    HANDED_BACK = "handed_back"
    TAKEN_OVER = "taken_over"  # the in-flight entry was gone: another process has the job, nothing was written


class Foreign(NamedTuple):
    """Jobs without a handler here that a walk through a shared queue has left in place, by class.

    `new` are those of them that no walk of this process had met before.
    """

    queue: str
    jobs: Mapping[str, int]
    new: Mapping[str, int]


class Takeover(NamedTuple):
    """One job taken over from the process `owner`, which died.

    `started_at` (epoch s) is when it began there, None when that is not known: `owner` had not written it down yet, or
    the job had not begun. `dead_entry` is what went to the dead set instead of its queue, b"" when nothing did.
    """

    owner: str
    queue: str
    raw: bytes
    started_at: float | None = None
    dead_entry: bytes = b""

    @property
    def poison(self) -> bool:
        """Whether it was taken over once too often."""
        return bool(self.dead_entry)


class Settled(NamedTuple):
    """What Redis holds now."""

    outcome: Outcome
    fate: Fate

"""One line when a job starts and one when it ends, with what becomes of it. Never a job's arguments."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence

from pykiq import logger
from pykiq.config.settings import SLIP, did_you_mean
from pykiq.logger import LEVELS, NAME_LENGTH, Event, Sink
from pykiq.observe.observer import Kinds, Observer
from pykiq.records import Fate, Foreign, Later, Outcome, Settled, Started, Takeover, Word
from pykiq.store.leftovers import MOST_NAMED
from pykiq.wire.payload import attempt

NAME = "pykiq.jobs"  # of the logger
MESSAGE_LENGTH = 500  # characters of an error's message; the whole of it is in `retry` or `dead`
FOREIGN_REST = 60.0  # seconds until a class without a handler is told of again
MOST_FOREIGN = 1000  # classes remembered for that

# Tables rather than `.value` and `Fate.…` in the functions below: looking up an enum member costs as much as a dict of
# five, and this runs twice per job.
_EVENTS = {word: "fail" if word is Word.FAILED else word.value for word in Word}
_FOREIGN = Word.FOREIGN
_DONE = Fate.DONE
_DELAYED = {Fate.RETRY: "retry in", Fate.SNOOZED: "again in"}
_NEXT = {
    Fate.DEAD: "dead",
    Fate.DISCARDED: "discarded",
    Fate.EXPIRED: "dropped without being run",
    Fate.REQUEUED: "requeued",
    Fate.HANDED_BACK: "handed back",
    Fate.TAKEN_OVER: "taken over by another process: nothing written",
}
_WHAT_TO_DO = {
    Word.UNREADABLE: "dead, with its bytes: look at it with `pykiq dead`, and mend what pushes such jobs",
    Word.POISON: "dead: find out what it does to its process, then `pykiq dead retry` or `pykiq dead delete`",
}
_LEVELS = {
    Fate.DONE: "info",
    Fate.SNOOZED: "info",
    Fate.REQUEUED: "info",
    Fate.DISCARDED: "info",
    Fate.EXPIRED: "info",
    Fate.HANDED_BACK: "debug",
    Fate.RETRY: "warning",
    Fate.TAKEN_OVER: "warning",
    Fate.DEAD: "error",
}
_FROM = {least: {fate for fate, level in _LEVELS.items() if LEVELS[level] >= least} for least in LEVELS.values()}


class JobLog(Observer):
    """The observer that writes the lines: all of a batch with one write.

    `sink` is where all of pykiq's lines go unless given. `handled` are the classes with a handler here: a foreign one
    that is nearly called as one of them is rather a slip of somebody's.
    """

    def __init__(self, sink: Sink | None = None, *, handled: Callable[[], Iterable[str]] = tuple) -> None:
        self._handled = handled
        self._sink = sink or logger.sink()
        self._foreign: dict[str, float] = {}  # class → when (monotonic) it may be told of again

    def started(self, batch: Sequence[Started]) -> None:
        if self._wants(logging.INFO):
            self._sink.lines(NAME, [start_line(started) for started in batch])

    def settled(self, batch: Sequence[Settled]) -> None:
        wanted = next((fates for level, fates in _FROM.items() if self._wants(level)), ())
        lines = [end_line(settled) for settled in batch if settled.fate in wanted]
        if lines:
            self._sink.lines(NAME, lines)

    def counted(self, kinds: Kinds) -> None:
        """Of the same jobs, those that were handed back for want of a handler."""
        foreign = [kind for kind in kinds if kind.word is _FOREIGN and kind.fate is Fate.HANDED_BACK]
        if foreign and self._wants(logging.WARNING):
            lines = [self._told(kind.name, kind.queue) for kind in foreign if self._is_news(kind.name)]
            if lines:
                self._sink.lines(NAME, lines)

    def met(self, batch: Sequence[Foreign]) -> None:
        """Foreign jobs that wait in a shared queue, as a walk through it has counted them."""
        if self._wants(logging.WARNING):
            found = ((foreign.queue, *one) for foreign in batch for one in foreign.jobs.items())
            lines = [self._told(name, queue, jobs=jobs) for queue, name, jobs in found if self._is_news(name)]
            if lines:
                self._sink.lines(NAME, lines)

    def took_over(self, batch: Sequence[Takeover]) -> None:
        """A line for each process that died. Those of its jobs that go back have been named before they did."""
        if self._wants(logging.WARNING):
            by_owner: dict[str, list[Takeover]] = {}
            for one in batch:
                by_owner.setdefault(one.owner, []).append(one)
            self._sink.lines(NAME, [took_over_line(owner, taken) for owner, taken in by_owner.items()])

    def _wants(self, level: int) -> bool:
        return self._sink.wants(NAME, level)

    def _is_news(self, name: str) -> bool:
        """A class without a handler here is told of once per minute, however many such jobs there are."""
        now = time.monotonic()
        if self._foreign.get(name, 0.0) > now:
            return False
        if len(self._foreign) >= MOST_FOREIGN:
            self._foreign.clear()  # names come from payloads: whoever can push could fill the memory with them
        self._foreign[name] = now + FOREIGN_REST
        return True

    def _told(self, name: str, queue: str, **more: int) -> Event:
        told = {"timestamp": time.time(), "level": "warning", "event": "no_handler_here", "class": name[:NAME_LENGTH]}
        near = did_you_mean(name[:NAME_LENGTH], self._handled(), cutoff=SLIP)
        return told | {"queue": queue, **more, "next": f"left in the queue for a process that has one{near}"}


def start_line(started: Started) -> Event:
    """The line for a job that begins. `attempt` counts the executions before this one."""
    assigned, at = started
    return {
        "timestamp": at,
        "level": "info",
        "event": "start",
        "class": assigned.name[:NAME_LENGTH],
        "jid": assigned.jid[:NAME_LENGTH],
        "queue": assigned.claimed.queue[:NAME_LENGTH],
        "attempt": attempt(assigned.payload),
    }


def end_line(settled: Settled) -> Event:
    """The line for a job that ended: `elapsed` in seconds, the error shortened, `next` when it is not over."""
    outcome, fate = settled
    started_at, elapsed = outcome.started_at, outcome.elapsed
    line: Event = {
        "timestamp": started_at + elapsed if started_at else time.time(),
        "level": _LEVELS[fate],
        "event": _EVENTS[outcome.word],
        "class": (outcome.name or "?")[:NAME_LENGTH],
        "jid": outcome.jid[:NAME_LENGTH],
        "queue": outcome.claimed.queue[:NAME_LENGTH],
        "elapsed": round(elapsed, 6),
    }
    if fate is _DONE:
        return line
    if outcome.error_class is not None:
        if outcome.word is _FOREIGN:
            line["event"] = "fail"  # as `--foreign retry` or `dead` wants it
        line["error_class"] = outcome.error_class[:NAME_LENGTH]
    if outcome.error_message is not None:
        line["error_message"] = shorten(outcome.error_message)
    following = what_next(settled)
    if following is not None:
        line["next"] = following
    if outcome.trace:
        line["exception"] = outcome.trace  # where structlog puts tracebacks; on a terminal it stands below the line
    return line


def what_next(settled: Settled) -> str | None:
    """What becomes of the job, in words; None when it is done."""
    delayed = _DELAYED.get(settled.fate)
    if delayed is not None:
        return f"{delayed} {_delay(settled.outcome)} s"
    if settled.fate is Fate.DEAD and settled.outcome.word in _WHAT_TO_DO:
        return _WHAT_TO_DO[settled.outcome.word]
    return _NEXT.get(settled.fate)


def took_over_line(owner: str, taken: Sequence[Takeover]) -> Event:
    """The line for one process: how many of its jobs went back, how many of those unnamed, and how many are dead."""
    dead = sum(one.poison for one in taken)
    back = len(taken) - dead
    line: Event = {"timestamp": time.time(), "level": "warning", "event": "took_over", "identity": owner}
    line |= {"jobs": len(taken), "back": back, "dead": dead}
    if back > MOST_NAMED:
        line["unnamed"] = back - MOST_NAMED
    if not dead:
        return line | {"next": "back at the head of their queues"}
    if not back:
        return line | {"next": "dead as poison pills"}
    return line | {"next": f"{back} back at the head of their queues, {dead} dead as poison pills"}


def shorten(message: str, length: int = MESSAGE_LENGTH) -> str:
    """At most `length` characters, with a mark where the rest was cut."""
    return message if len(message) <= length else message[: length - 1] + "…"


def _delay(outcome: Outcome) -> int:
    """Whole seconds from the job's end to the time its entry is due."""
    write = outcome.write
    if not isinstance(write, Later):
        return 0
    ended = outcome.started_at + outcome.elapsed if outcome.started_at else outcome.claimed.claimed_at
    return max(0, round(write.at - ended))

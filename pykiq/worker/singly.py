"""Singly: what to do when outcomes that are settled together break the connection again and again.

One of them may be more than Redis takes: too large a bulk, more than its query buffer holds, more than a proxy lets
through. Redis hangs up then, and all that would be settled with it waits, here and in every process that takes it over.
So they are settled in halves, down to the one; and that one in a form that Redis takes: with its message cut and
without its backtrace, or, when that is too much as well, by its digest. Then nothing of it need be sent: Redis moves
the job as it is, into the dead set if it had failed.
"""

from __future__ import annotations

import time

import redis

from pykiq.config import Config
from pykiq.errors import Unreadable
from pykiq.records import Acknowledge, Bury, Later, Outcome, PutBack, Settled
from pykiq.store.claim import Berth
from pykiq.store.scripts import send
from pykiq.store.settle import Batch, fate, in_order, settle_call, settle_unsent_call, unsent_call
from pykiq.wire import keys
from pykiq.wire.dialect import SEVEN, for_payload
from pykiq.wire.failure import cut
from pykiq.worker.flight import Flight
from pykiq.worker.line import Line
from pykiq.worker.refused import Refused

TRIES = 2  # for one on its own: a connection may break for other reasons
HARMLESS = 65_536  # bytes that every server takes: what is smaller is not to blame for a connection that breaks


class Singly:
    """Only the exchange's thread uses it."""

    def __init__(self, berth: Berth, line: Line, flight: Flight, config: Config, refused: Refused) -> None:
        self._berth = berth
        self._line = line
        self._flight = flight
        self._config = config
        self._refused = refused

    def settle(self) -> list[Settled] | None:
        """Settle all that is unsettled, in parts. None when it is Redis itself that does not answer.

        What has been settled by then is told of in the next round: it counts as doubtful.
        """
        settled: list[Settled] = []
        if self._line.ask(lambda client: self._divide(client, settled)) is None and not settled:
            return None
        return settled

    def give_back(self) -> None:
        """Put back what is in flight here and Redis does not send: another process may be sent more."""
        kept = []
        for one in self._flight.withheld:
            about = (self._berth, one.queue, one.entry.size, one.entry.digest, "back", time.time(), self._config)
            answers = self._line.send([unsent_call(*about)])
            if answers is None or isinstance(answers[0], Exception):
                kept.append(one)
        self._flight.withheld = kept

    def _divide(self, client: redis.Redis, settled: list[Settled]) -> bool:
        parts = [self._flight.unsettled]
        while parts:
            part = parts.pop()
            batch = in_order(part)
            answer = self._answer(client, batch)
            if isinstance(answer, list):
                settled += self._flight.parted(batch, answer)
            elif len(part) > 1:
                # What was claimed last goes first: of jobs that are put back, the last one written is the next to run.
                middle = len(part) // 2
                parts += [part[:middle], part[middle:]]
            elif isinstance(answer, Exception):
                self._flight.drop({id(part[0])})
                self._flight.rest(part[0], answer)
            else:
                settled += self._alone(client, part[0])
        self._flight.breaks = 0
        return True

    def _answer(self, client: redis.Redis, batch: Batch) -> list[int] | Exception | None:
        """What Redis answers: a list, or its refusal; None when it hung up on this batch, and answers otherwise."""
        for _ in range(TRIES if len(list(batch)) == 1 else 1):
            try:
                [answer] = send(client, [settle_call(self._berth, batch, time.time(), self._config)])
            except redis.TimeoutError:  # Redis is slow, or away: it may yet carry it out
                self._flight.unanswered([batch])
                raise
            except (redis.ConnectionError, OSError):
                self._flight.unanswered([batch])
                client.ping()
            else:
                answered: list[int] | Exception = answer
                return answered
        return None

    def _alone(self, client: redis.Redis, outcome: Outcome) -> list[Settled]:
        """Settle one that breaks the connection on its own."""
        size = len(outcome.claimed.raw) + len(getattr(outcome.write, "entry", b""))
        if size < HARMLESS:
            return []
        shorter = _shorter(outcome, self._config)
        if shorter is not None:
            answer = self._answer(client, in_order([shorter]))
            if isinstance(answer, list):
                return self._told(outcome, shorter, answer[0], size, "written with its message cut")
        [answer] = send(client, [settle_unsent_call(self._berth, outcome, time.time(), self._config)])
        if isinstance(answer, Exception):
            self._flight.drop({id(outcome)})
            self._flight.rest(outcome, answer)
            return []
        write = outcome.write
        if isinstance(write, Acknowledge | PutBack) or (isinstance(write, Later) and write.key == keys.SCHEDULE):
            return self._told(outcome, outcome, answer, size, "moved as it was")
        buried = outcome._replace(write=Bury(outcome.claimed.raw), died=True)
        return self._told(outcome, buried, answer, size, "dead, with its bytes as they were")

    def _told(self, outcome: Outcome, written: Outcome, found: int, size: int, after: str) -> list[Settled]:
        """`written` stands for `outcome`, unless that was gone from in flight: an earlier try has settled it then."""
        self._flight.drop({id(outcome)})
        if not found:
            return [Settled(outcome, fate(outcome))]
        self._refused.entry("settle", outcome.name, outcome.jid, outcome.claimed.queue, size, after)
        return [Settled(written, fate(written))]


def _shorter(outcome: Outcome, config: Config) -> Outcome | None:
    """The same with a shorter entry; None when there is nothing to cut."""
    write = outcome.write
    if not isinstance(write, (Later, Bury)):
        return None
    try:
        entry = cut(write.entry, lambda job: for_payload(job, SEVEN, config.wire))
    except Unreadable:
        return None
    return outcome._replace(write=write._replace(entry=entry)) if len(entry) < len(write.entry) else None

"""The poller: due jobs from `retry` and `schedule` to their queues.

It sleeps until the next score is due instead of at random, but never longer than the fleet's poll interval: other
processes write those sets too. Client middleware runs again on what is re-pushed, as Ruby's does (WIRE.md §9).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import redis

from pykiq.client.repush import problem, repushed
from pykiq.config import Config
from pykiq.errors import Unreadable
from pykiq.logger import get_logger
from pykiq.middleware.chain import Chain, ClientMiddleware
from pykiq.observe.observer import Observer
from pykiq.records import Later, Settled
from pykiq.store import due
from pykiq.store.bounded import Entry
from pykiq.store.due import Move, Moved
from pykiq.store.outage import Outage
from pykiq.store.refusals import Refusals, is_wrong_type
from pykiq.wire import payload
from pykiq.wire.dialect import Dialect
from pykiq.wire.failure import describe
from pykiq.worker.burials import Report, unusable
from pykiq.worker.duty import Duty

BATCH = 100  # due jobs looked at in one go
HELD_BACK = 5.0  # seconds a job rests whose middleware raised: it stays in its set
SLICE = 1.0  # seconds for which one set may keep the other waiting

log = get_logger()


class Poller(Duty, Observer):
    """Moves what is due, on its own thread and connection."""

    failed = "poll_failed"

    def __init__(
        self,
        config: Config,
        client: redis.Redis,
        chain: Chain[ClientMiddleware],
        *,
        dialect: Callable[[dict[str, Any]], Dialect],
        report: Report,
        outage: Outage | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        super().__init__("poller", client, outage)
        self._config = config
        self._chain = chain
        self._dialect = dialect
        self._report = report
        self._refusals = refusals or Refusals()

    def settled(self, batch: Sequence[Settled]) -> None:
        """As an observer: a retry or a snooze of this process that is due before the next round brings that forward."""
        if any(isinstance(one.outcome.write, Later) and one.outcome.write.at < self._wakes_at for one in batch):
            self._wake.set()

    def _round(self) -> float:
        """Move what is due, a slice of time for each set: a storm in one keeps the other from nothing."""
        more = [self._drained(key) for key in due.SETS]
        if any(more):
            return 0.0
        score = due.next_score(self._client)
        longest = self._longest()
        if score is None:
            return longest
        return min(longest, max(score - time.time(), 0.005))

    def _longest(self) -> float:
        """Seconds between two rounds when nothing is known to be due."""
        interval = self._config.poll_interval
        if interval is None:
            interval = self._config.average_scheduled_poll_interval
        return min(interval, self._config.sweep_interval)

    def _drained(self, key: str) -> bool:
        """The same as `_drain`; a key of another type keeps the other set from nothing."""
        try:
            return self._drain(key)
        except redis.ResponseError as error:
            if not is_wrong_type(error):
                raise
            log.error("not_polled", set=key, error=str(error))
            return False

    def _drain(self, key: str) -> bool:
        """Move what is due in `key`, for a slice of time. Whether there is more."""
        until = time.monotonic() + SLICE
        while not self._stop.is_set():
            now = time.time()
            members = due.peek(self._client, key, now, BATCH)
            if not members:
                return False
            moves = list(self._repushed(key, members, now, until))
            answered = list(due.move_apart(self._client, key, moves, now, self._config)) if moves else []
            for move, answer in answered:
                if answer is None:
                    self._pass_over(key, now, Entry(move.member))
            buried = [unusable(move, key) for move, answer in answered if move.kind == "dead" and answer is Moved.DONE]
            if buried:
                self._report([], buried)
            refused = [move.queue for move, answer in answered if answer is Moved.REFUSED]
            if refused:
                log.error("due_jobs_refused", queues=sorted(set(refused)), next=f"again in {due.REST:g} s")
            if time.monotonic() >= until:
                return True
        return False

    def _repushed(self, key: str, members: Sequence[Entry], now: float, until: float) -> Iterator[Move]:
        """What becomes of as many of `members` as there is time for: of one at least."""
        resting = 0
        for place, member in enumerate(members):
            raw = member.raw
            if raw is None:
                raw = due.whole(self._client, key, now, place - resting, member)
            if raw is None:
                self._pass_over(key, now, member)
                resting += 1
                continue
            yield repush(raw, now, self._chain, self._dialect)
            if self._stop.is_set() or time.monotonic() >= until:
                return

    def _pass_over(self, key: str, now: float, entry: Entry) -> None:
        """Redis hangs up on this one: it rests in its set, and keeps no other waiting."""
        due.rest(self._client, key, now, entry)
        job = payload.told(entry.stand_in)
        self._refusals.entry(
            "due", job.name, job.jid, job.queue, entry.size, f"rests in `{key}`; again in {due.LONG_REST:g} s"
        )


def repush(
    member: bytes, now: float, chain: Chain[ClientMiddleware], dialect: Callable[[dict[str, Any]], Dialect]
) -> Move:
    """What becomes of one due member, by the rules of Ruby's re-push (WIRE.md §9).

    What Ruby loses here (broken JSON, no class, no list of arguments, an empty queue) goes to the dead set with its
    bytes. A job whose middleware raises stays, a few seconds later.
    """
    try:
        job = payload.parse(member)
    except Unreadable as error:
        return _bury(member, str(error))
    wrong = problem(job)
    if wrong:
        return _bury(member, wrong)
    jid = str(job["jid"]) if isinstance(job.get("jid"), str) else "?"
    try:
        move = repushed(member, job, chain, dialect, now)
    except BaseException as error:  # it exits, raises, or has put in what JSON cannot hold
        log.error("middleware_failed", jid=jid, error=repr(describe(error)), next=f"again in {HELD_BACK:g} s")
        return Move("later", member, entry=member, at=now + HELD_BACK)
    if move.kind == "drop":
        log.info("push_stopped_by_middleware", jid=jid)
    return move


def _bury(member: bytes, why: str) -> Move:
    return Move("dead", member, entry=payload.legible(member), why=why)

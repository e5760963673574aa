"""The poller: due jobs from `retry` and `schedule` to their queues.

One process of a fleet looks for all others (store/leadership.py). It sleeps until the next score is due instead of at
random, but not for long: other processes write those sets too. Retries of its own that may be due before that one looks
again each process moves itself. Nothing rests on who looks: a job is moved by one script, which finds it or does not.
Client middleware runs again on what is re-pushed, as Ruby's does (WIRE.md §9).
"""

from __future__ import annotations

import math
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
from pykiq.store.leadership import Leadership, pause
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

LEADERSHIP_SECONDS = 3.0
"""How long nobody looks, at most, after the process that did was killed: so late may be what is due then."""

LOOK_SECONDS = 1.0
"""Between two looks in a fleet of four processes or more: what is written so long before it is due is on time there.
In a smaller fleet it is longer: for each of its processes a look would cost as much as for forty."""

_TICK = 0.02  # seconds: how exactly a process remembers when its own retries are due

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
        leadership: Leadership | None = None,
        peers: Callable[[], int] = lambda: 1,
    ) -> None:
        """Without `leadership` this one looks, whatever others do. `peers` is how many processes may be the one."""
        super().__init__("poller", client, outage)
        self._config = config
        self._chain = chain
        self._dialect = dialect
        self._report = report
        self._refusals = refusals or Refusals()
        self._leadership = leadership
        self._peers = peers
        self._look_at = 0.0  # monotonic: when to look again, or to see whether nobody else does
        self._due: dict[str, float] = {}  # set → when its next member is due (epoch s), as far as this process looks
        self._own: set[tuple[int, str]] = set()  # ticks at which something of this process's is due, and in which set
        self._rests: dict[str, float] = {}  # a key that is no sorted set → until when it is left alone (epoch s)

    def settled(self, batch: Sequence[Settled]) -> None:
        """As an observer: remember what of this process's is due before it will have been seen by whoever looks."""
        until = time.time() + self._longest()
        writes = (one.outcome.write for one in batch)
        soon = [(write.at, write.key) for write in writes if isinstance(write, Later) and write.at < until]
        if soon:
            self._own.update((math.ceil(max(at, 0.0) / _TICK), key) for at, key in soon)
            if min(soon)[0] < self._wakes_at:
                self._wake.set()

    def _round(self) -> float:
        """Move what is due, a slice of time for each set: a storm in one keeps the other from nothing."""
        leads = self._leadership is None or self._leadership.held
        try:
            found = self._take_due(time.time())
            if found and leads:
                self._look_at = 0.0  # also when this fails: what was due may still be
            for key in found:
                if self._drained(key):
                    self._due[key] = time.time()  # there is more
            if time.monotonic() >= self._look_at:
                self._look()
        except BaseException:
            if self._leadership is not None:
                self._leadership.held = False  # where this process fails, another one may not
            raise
        return self._until_next()

    def _take_due(self, now: float) -> list[str]:
        """The sets in which something is due by now."""
        ticks = [one for one in list(self._own) if one[0] * _TICK <= now]
        self._own.difference_update(ticks)
        found = {key for _, key in ticks} | {key for key, at in self._due.items() if at <= now}
        for key in found:
            self._due.pop(key, None)
        return [key for key in due.SETS if key in found]

    def _look(self) -> None:
        """If it is this process's turn, see when the next are due; else when to ask again whose turn it is."""
        leadership = self._leadership
        if leadership is not None:
            left = 0.0 if leadership.held else leadership.left(self._client)
            if left or not leadership.keep(self._client):
                self._due.clear()
                self._look_at = time.monotonic() + pause(left or LEADERSHIP_SECONDS)
                return
        scores, now = due.next_scores(self._client), time.time()
        rests = {key: until for key, until in self._rests.items() if until > now}
        self._due = {key: max(at, rests.get(key, at)) for key, at in scores.items()}
        self._look_at = time.monotonic() + self._between_looks()

    def _until_next(self) -> float:
        """Seconds until the next round."""
        own = [tick * _TICK for tick, _ in list(self._own)]
        next_due = min([*self._due.values(), *own], default=math.inf) - time.time()
        return max(min(next_due, self._look_at - time.monotonic()), 0.0 if next_due > 0 else 0.005)

    def _ended(self) -> None:
        if self._leadership is not None:
            self._leadership.resign(self._client)

    def _between_looks(self) -> float:
        """Seconds between two looks at the sets while nothing is due: less where more processes profit."""
        longest = self._longest()
        return max(longest / max(self._peers(), 1), min(longest, LOOK_SECONDS))

    def _longest(self) -> float:
        """Seconds between two looks of a process that is alone."""
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
            self._rests[key] = time.time() + self._longest()
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
            if len(members) < BATCH and len(moves) == len(members):
                return False  # as a rule: the look that follows sees what else is due
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

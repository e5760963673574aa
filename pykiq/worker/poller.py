"""The poller: due jobs from `retry` and `schedule` to their queues, and the jobs of dead processes back to theirs.

It sleeps until the next score is due instead of at random, but never longer than the fleet's poll interval: other
processes write those sets too. Client middleware runs again on what is re-pushed, as Ruby's does (WIRE.md §9).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import redis
import structlog

from pykiq.client.repush import problem, repushed
from pykiq.config import Config
from pykiq.errors import Unreadable
from pykiq.middleware.chain import Chain, ClientMiddleware
from pykiq.observe.observer import Observer
from pykiq.observe.tally import POISON_PILLS, TAKEOVERS, Tally
from pykiq.records import Later, Settled
from pykiq.store import due, reclaim
from pykiq.store.claim import Berth
from pykiq.store.due import Move, Moved
from pykiq.store.reclaim import Takeover
from pykiq.wire import payload
from pykiq.wire.dialect import Dialect
from pykiq.wire.failure import describe

BATCH = 100  # due jobs looked at in one go
HELD_BACK = 5.0  # seconds a job rests whose middleware raised: it stays in its set
BREATH = 1.0  # seconds between two attempts while Redis does not answer
DOUBT = 0.75  # of a lease's life: how long after Redis was away, or after the start, no lease is taken for expired

log = structlog.get_logger("pykiq")


class Poller(Observer):
    """Moves what is due, on its own thread and connection."""

    def __init__(
        self,
        config: Config,
        berth: Berth,
        client: redis.Redis,
        chain: Chain[ClientMiddleware],
        *,
        dialect: Callable[[dict[str, Any]], Dialect],
        poison_entry: Callable[[bytes, str, str, float], bytes],
        tally: Tally | None = None,
    ) -> None:
        self._config = config
        self._berth = berth
        self._client = client
        self._chain = chain
        self._dialect = dialect
        self._poison_entry = poison_entry
        self._tally = tally
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._wakes_at = 0.0  # epoch seconds: when the next round begins by itself
        self._sweep_at = 0.0  # monotonic
        self._doubt_leases()  # Redis may have come back just now
        self._thread = threading.Thread(target=self._run, name="pykiq-poller", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop polling; the round under way is finished."""
        self._stop.set()
        self._wake.set()

    def settled(self, batch: Sequence[Settled]) -> None:
        """As an observer: a retry or a snooze of this process that is due before the next round brings that forward."""
        if any(isinstance(one.outcome.write, Later) and one.outcome.write.at < self._wakes_at for one in batch):
            self._wake.set()

    def close(self) -> None:
        """The same, and wait for that round: up to 5 seconds."""
        self.stop()
        if self._thread.ident is not None:
            self._thread.join(5.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            self._wakes_at = time.time() + BREATH  # what is settled during the round may be too late for it
            self._guarded(self._sweep)
            wait = self._guarded(self._round) or BREATH
            wait = min(wait, max(self._sweep_at - time.monotonic(), 0.0))  # a due job must not put a takeover off
            self._wakes_at = time.time() + wait
            self._wake.wait(wait)
        self._client.close()

    def _guarded(self, work: Callable[[], float | None]) -> float | None:
        """Do a part of a round. What goes wrong in one part keeps neither the other nor the next round from happening.

        A BaseException too: a middleware that exits must not take the poller with it.
        """
        try:
            return work()
        except (redis.RedisError, OSError) as error:
            if not isinstance(error, redis.ResponseError) or work == self._sweep:
                self._doubt_leases()  # not for one odd key; a sweep that is refused tells of writes refused to all
            log.warning("poll_failed", error=str(error) or type(error).__name__)
        except BaseException:
            log.error("poll_failed", exc_info=True)
        return None

    def _round(self) -> float:
        """Move everything that is due; returns how long to sleep."""
        for key in due.SETS:
            self._drain(key)
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

    def _drain(self, key: str) -> None:
        while not self._stop.is_set():
            now = time.time()
            members = due.peek(self._client, key, now, BATCH)
            if not members:
                return
            moves = [repush(member, now, self._chain, self._dialect) for member in members]
            moved = due.move(self._client, key, moves, now, self._config)
            refused = [move.queue for move, answer in zip(moves, moved, strict=True) if answer is Moved.REFUSED]
            if refused:
                log.error("due_jobs_refused", queues=sorted(set(refused)), next=f"again in {due.REST:g} s")

    def _doubt_leases(self) -> None:
        """Leave the others the time to renew their leases.

        While Redis is away nobody can, and all of them run out: who sweeps first when it is back would take over what
        runs in processes that live, and all those jobs would run twice.
        """
        self._sweep_at = time.monotonic() + self._config.lease_ttl * DOUBT

    def _sweep(self) -> None:
        """Take over what dead processes left in flight."""
        if time.monotonic() < self._sweep_at:
            return
        self._sweep_at = time.monotonic() + self._config.sweep_interval
        tell_takeovers(reclaim.sweep(self._client, self._berth, self._config, self._poison_entry), self._tally)


def tell_takeovers(taken: Sequence[Takeover], tally: Tally | None) -> None:
    """One line for each process whose jobs were taken over, and the counts for the metrics."""
    if taken and tally is not None:
        with tally.lock:
            tally.counter(TAKEOVERS)[()] += len(taken)
            tally.counter(POISON_PILLS)[()] += sum(one.poison for one in taken)
    for owner in sorted({one.owner for one in taken}):
        mine = [one for one in taken if one.owner == owner]
        poison = sum(one.poison for one in mine)
        log.warning("took_over", identity=owner, jobs=len(mine), dead=poison, next="back at the head of their queues")


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
    log.error("due_job_unusable", reason=why, next="dead, with its bytes")
    return Move("dead", member, entry=payload.legible(member))

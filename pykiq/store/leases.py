"""Looks at the leases of a fleet: who is gone, and whether what was seen is to be believed.

A lease that is not there tells of a process that has ended, but for three cases, in which all of them run out at once:
Redis could not be reached, it answered nobody for longer than a lease lasts, or its clock was put forward (it keeps the
moment at which a key expires, not how long it has left). Processes that live renew theirs within a quarter of a lease
after that. So a process counts as gone when its lease was missing twice, a moment apart; and no look counts that took
long, or since the one before which Redis' clock has not gone as ours has.

When its clock was put back, the leases that were there last longer by that, those of processes that have ended among
them. Whoever notices it takes that off again.
"""

from __future__ import annotations

import json
import time
from typing import Any

import redis

from pykiq.store.bounded import sent
from pykiq.store.claim import Berth
from pykiq.store.refusals import concerns_all
from pykiq.store.scripts import Call, run, script
from pykiq.wire import keys

RENEWAL = 3.0  # seconds at most between two renewals of a lease
AGAIN = 1.0  # seconds between the two looks, or a quarter of a lease: what Redis was sent meanwhile it has carried out
SLOW = 0.25  # of a lease's life: an answer that takes longer tells of a Redis that answers nobody in time
TOGETHER = 500  # leases that one command asks for
STEP = 0.25  # of a lease's life: how far Redis' clock may go astray between two looks

Owners = dict[str, list[str]]  # identity → its queues


def renewal(lease_ttl: float) -> float:
    """The seconds from one renewal of a lease that lasts `lease_ttl` to the next."""
    return min(lease_ttl / 4, RENEWAL)


class Doubtful(Exception):
    """Leases may have run out whose processes live. The text says why."""


class Leases:
    """What one process has seen of the leases of the others. One thread at a time."""

    def __init__(self, berth: Berth) -> None:
        self._me = berth.identity
        self._ttl = berth.lease_ttl
        self._offset: float | None = None  # seconds from our monotonic clock to Redis' clock
        self._checked_at = 0.0  # monotonic

    def lapsed(self, client: redis.Redis) -> Owners:
        """The processes that are gone, with the queues they served.

        Never this one: when a handler held the interpreter for longer than the lease lasts, a sweep may come before the
        lease is renewed, and would give jobs away that run here. Raises Doubtful, and redis.RedisError.
        """
        once = self._look(client)
        if not once:
            return {}
        time.sleep(min(AGAIN, self._ttl / 4))
        twice = self._look(client) & once
        found = ((owner, _served(client, owner)) for owner in twice)
        return {owner: queues for owner, queues in found if queues is not None}

    def notice(self, client: redis.Redis) -> None:
        """Keep an eye on Redis and its clock while another process sweeps. Raises as `lapsed` does."""
        began = time.monotonic()
        try:
            clock: object = client.time()
        except redis.ResponseError as error:
            if concerns_all(error):
                raise
            return  # it may not be asked
        self._check(client, began, clock)

    def _look(self, client: redis.Redis) -> set[str]:
        """The processes that have no lease now. As long as all have one, that is one command for hundreds of them."""
        began = time.monotonic()
        listed: Any = client.hkeys(keys.OWNERS)  # not with their queues: those of a large fleet are more than a portion
        owners = sorted({name.decode("utf-8", "replace") for name in listed} - {self._me})
        together = [owners[at : at + TOGETHER] for at in range(0, len(owners), TOGETHER)]
        counts = self._counted(client, together, began)
        short = [names for names, count in zip(together, counts, strict=True) if count < len(names)]
        if not short:
            return set()
        single = [[name] for names in short for name in names]
        return {one[0] for one, count in zip(single, self._counted(client, single, began), strict=True) if not count}

    def _counted(self, client: redis.Redis, groups: list[list[str]], began: float) -> list[int]:
        """How many processes of each group have a lease, in a look that `began` then (monotonic)."""
        with client.pipeline(transaction=False) as pipeline:
            for names in groups:
                pipeline.exists(*map(keys.lease, names))
            pipeline.time()  # last: a step before it may have ended the leases
            *counts, clock = pipeline.execute(raise_on_error=False)
        self._check(client, began, clock)
        for answer in counts:
            if isinstance(answer, Exception):
                raise answer
        return counts

    def _check(self, client: redis.Redis, began: float, clock: object) -> None:
        """Raise Doubtful when the look that `began` (monotonic) and brought Redis' `clock` is not to be believed."""
        ended = time.monotonic()
        if ended - began > SLOW * self._ttl:
            raise Doubtful(f"Redis took {ended - began:.1f} s to answer")
        before, since = self._offset, ended - self._checked_at
        if isinstance(clock, tuple):  # else it may not be asked
            seconds, microseconds = clock
            self._offset = seconds + microseconds / 1e6 - ended
            self._checked_at = ended
        step = 0.0 if before is None or self._offset is None else self._offset - before
        if abs(step) > STEP * self._ttl:
            _shorten(client, -step, longest=-step - since - SLOW * self._ttl, renewed=2 * self._ttl)
            raise Doubtful(f"Redis' clock was put {step:+.1f} s")


def _shorten(client: redis.Redis, step: float, longest: float, renewed: float) -> None:
    """Take a step back off the leases that have lasted since before it: those with more than `longest` left.

    That is the step, without the time that may have passed since, and what a look cannot tell more exactly. Nothing is
    done where that is so short that a lease may have been `renewed` for as long. All in seconds.
    """
    if longest <= renewed:
        return
    owners: Any = client.hkeys(keys.OWNERS)
    leases = [keys.lease(name.decode("utf-8", "replace")) for name in owners]
    for at in range(0, len(leases), TOGETHER):
        run(client, Call(script("shorten"), leases[at : at + TOGETHER], [int(step * 1000), int(longest * 1000)]))


def _served(client: redis.Redis, owner: str) -> list[str] | None:
    """The queues of one process; None for what no process has written, which must not keep the others from a sweep."""
    listed: Any = sent(client, lambda: client.hget(keys.OWNERS, owner))
    try:
        names = json.loads(listed or b"")
        if isinstance(names, list) and all(isinstance(one, str) for one in names):
            "".join(names).encode()  # half of a surrogate pair is no name of a key
            return names
    except (ValueError, RecursionError):
        pass
    return None

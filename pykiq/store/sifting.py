"""Taking many jobs out of a queue by a rule, in one pass and in steps of a few milliseconds of Redis.

A list gives up an entry in its middle only by a search from one end: to delete half of 200,000 jobs one by one takes
minutes in which nobody else is served. So the pass begins at the new end and takes everything into a list of its own, a
portion at a time, all but the oldest jobs; what stays comes back in the end, in its order and behind what was pushed
meanwhile. Workers take from the old end all the while, pushes go on.

That list is an in-flight list under a lease, as a worker's: whoever is killed in the middle leaves his jobs to the next
pykiq process, or to the next pass through that queue. They go back to their places, and it does not count as a
takeover: nobody ran them, so none of them can have killed the pass, and three such kills would bury them all.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import redis

from pykiq.errors import StoreError
from pykiq.store import inflight, queues
from pykiq.store.claim import Berth
from pykiq.store.portions import Portion
from pykiq.store.scripts import Call, run, script
from pykiq.wire import keys

WHO = "sift@"  # what the identity of such a pass begins with
LEASE = 30.0  # seconds between two steps before somebody else takes over
OLDEST = 200  # jobs that stay in the queue until the end
PATIENCE = 15.0  # seconds for which jobs are tried to be put back while Redis does not answer
BREATH = 0.5  # seconds between two attempts


def sift(
    client: redis.Redis, name: str, is_meant: Callable[[bytes], bool], *, limit: int | None = None
) -> Iterator[bool]:
    """Remove the jobs that are meant, at most `limit` of them, from the newest on; for each job whether it was removed.

    Lazily: close it when you stop in the middle, and what was looked at is put back. Every job that is yielded is dealt
    with. Raises what `is_meant` raises, redis.RedisError, and StoreError when jobs could not be put back for now.
    """
    put_back_for_others(client, name)
    at_most, removed = queues.size(client, name), 0  # those that are pushed meanwhile are not looked at
    ours, portion, taken = _Pass(client, name, _identity()), Portion(queues.PAGE), [b""]
    left, verdicts = 0, ""

    def verdict(raw: bytes) -> bool:
        nonlocal removed
        ours.stay()
        is_removed = (limit is None or removed < limit) and is_meant(raw)
        removed += is_removed
        return is_removed

    try:
        while taken:
            goes_on = limit is None or removed < limit
            left, taken = ours.step(verdicts, min(portion.size, at_most) if goes_on else 0)
            yield from (one == "0" for one in verdicts)
            portion.took(taken)
            at_most -= len(taken)
            verdicts = "".join("0" if verdict(raw) else "1" for raw in taken)
        # The oldest have stayed where they are, so that workers always find the next job in its place.
        oldest = [(raw, verdict(raw)) for raw in (queues.oldest_of(client, name, left) if left <= OLDEST else ())]
        found = iter(ours.put_back([raw for raw, is_removed in oldest if is_removed]))
        yield from (is_removed and next(found, False) for _, is_removed in oldest)
    finally:
        ours.put_back()


def can_sift(name: str) -> bool:
    """Whether the queue's name is text: only then can its jobs be left to others."""
    return name.isascii() or not any("\udc80" <= char <= "\udcff" for char in name)


def is_pass(identity: str) -> bool:
    """Whether an owner of jobs in flight is such a pass, and no process that runs them."""
    return identity.startswith(WHO)


def put_back(client: redis.Redis, identity: str, name: str) -> None:
    """Put back what a pass through this queue has left that was killed. Raises redis.RedisError; a repeat goes on."""
    _Pass(client, name, identity, "lost").put_all_back()


def put_back_for_others(client: redis.Redis, name: str) -> None:
    """The same for every pass through this queue that was killed, trying for `PATIENCE` seconds."""
    for held in inflight.read(client):
        if is_pass(held.identity) and held.queue == name and not held.alive:
            _Pass(client, name, held.identity, "lost").put_back()


class _Pass:
    """The list on the side. `mark` is the newest job of the queue after the last step, by which new pushes are told."""

    def __init__(self, client: redis.Redis, name: str, identity: str, state: str = "start") -> None:
        self._client = client
        self._name = name
        self._berth = Berth(identity, (name,), LEASE)
        self._state = state
        self._mark = b""
        self._is_back = state == "start"
        self._renew_at = time.monotonic() + LEASE / 4

    def step(self, verdicts: str, most: int) -> tuple[int, list[bytes]]:
        """Settle the jobs of the last step, and take at most so many more; how many are left, and those taken.

        Raises StoreError when the lease has run out.
        """
        lists = [keys.queue(self._name), self._berth.inflight(self._name)]
        sent = [*self._berth.owner_args, verdicts, self._state, self._mark, most, OLDEST]
        self._is_back = False
        answer = self._run(Call(script("sift"), [self._berth.lease, keys.OWNERS, *lists], sent))
        if answer == 0:
            raise self._late()
        self._renew_at = time.monotonic() + LEASE / 4
        left, newest, taken = answer
        self._remember(newest)
        return int(left), list(taken)

    def stay(self) -> None:
        """Renew the lease if it is time: a rule may take long. Raises StoreError when it has run out."""
        if time.monotonic() < self._renew_at:
            return
        self._renew_at = time.monotonic() + LEASE / 4
        if not self._is_back and not self._client.pexpire(self._berth.lease, int(LEASE * 1000)):
            raise self._late()

    def _late(self) -> StoreError:
        self._state = "lost"
        return StoreError(f"the jobs of {self._name} were left alone for longer than {LEASE:g} s; they are put back")

    def put_back(self, removing: Sequence[bytes] = ()) -> list[bool]:
        """Put everything back, and remove those of the oldest jobs; for each of them whether it was still there.

        Raises StoreError when Redis does not answer for PATIENCE seconds.
        """
        if self._is_back and not removing:
            return []
        until, removed = time.monotonic() + PATIENCE, [False] * len(removing)
        while True:
            try:
                _, found = self._put_some_back(removing)
                removed = [one or bool(other) for one, other in zip(removed, found, strict=False)]
                self.put_all_back()
                return removed
            except redis.ResponseError:
                raise
            except (redis.RedisError, OSError) as error:
                if time.monotonic() > until:
                    raise StoreError(
                        f"jobs of {self._name} are still in flight at {self._berth.identity}, because Redis does not"
                        " answer: a pykiq process puts them back, or the same command once more"
                    ) from error
                time.sleep(BREATH)

    def put_all_back(self) -> None:
        """Put everything back, without another attempt. Raises redis.RedisError."""
        while self._put_some_back()[0]:
            pass
        self._berth.leave(self._client)
        self._is_back = True

    def _put_some_back(self, removing: Sequence[bytes] = ()) -> tuple[int, list[int]]:
        lists = [keys.queue(self._name), self._berth.inflight(self._name)]
        identity, lease_ms, _ = self._berth.owner_args
        sent = [identity, lease_ms, self._name, "lost" if self._state == "start" else self._state, self._mark]
        call = Call(script("unsift"), [self._berth.lease, *lists, keys.QUEUES], [*sent, queues.PAGE, *removing])
        left, newest, removed = self._run(call)
        self._remember(newest)
        return int(left), list(removed)

    def _run(self, call: Call) -> Any:
        try:
            return run(self._client, call)
        except redis.ResponseError:
            raise  # nothing was done
        except BaseException:
            self._state = "lost"  # whether it was done nobody knows
            raise

    def _remember(self, newest: bytes | None) -> None:
        self._state, self._mark = ("none", b"") if newest is None else ("mark", newest)


def _identity() -> str:
    return f"{WHO}{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(6)}"

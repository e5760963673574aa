"""Claiming: jobs move from their queues to this process's in-flight lists, in the order Sidekiq would take them.

`Berth` is where a process's claimed jobs are: its identity, its lease and one in-flight list per queue. A claim
renews the lease in the same step, so a process that was paused past its lease never holds a job without owning it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import redis

from pykiq.records import Claimed
from pykiq.store.bounded import Entry, every
from pykiq.store.order import SEEDS, Order
from pykiq.store.refusals import concerns_all
from pykiq.store.scripts import Call, run, script
from pykiq.wire import keys

# Entries of a shared queue that one selective claim looks at.
WINDOW = 300

LARGE = 4000
"""Mean bytes of a job from which on a claim by transaction costs less than one by script."""


class Held(NamedTuple):
    """One entry of an in-flight list: of which queue, under which key, at which place (0 is the newest)."""

    queue: str
    key: str
    place: int
    entry: Entry

    @property
    def raw(self) -> bytes | None:
        """Its bytes; None where only its ends and its digest have been sent."""
        return self.entry.raw


@dataclass(frozen=True, slots=True)
class Berth:
    """Where one process keeps what it has claimed. `lease_ttl` is in seconds."""

    identity: str
    queues: tuple[str, ...]
    lease_ttl: float
    lease: str = field(init=False)
    owner_args: tuple[Any, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lease", keys.lease(self.identity))
        owner = (self.identity, int(self.lease_ttl * 1000), json.dumps(self.queues))
        object.__setattr__(self, "owner_args", owner)

    def inflight(self, queue: str) -> str:
        """The key of the in-flight list for jobs from `queue`."""
        return keys.inflight(self.identity, queue)

    def renew(self, client: redis.Redis) -> None:
        """Extend the lease, and be findable by whoever would take over."""
        run(client, Call(script("lease"), [self.lease, keys.OWNERS], self.owner_args))

    def held(self, client: redis.Redis) -> list[Held]:
        """Everything in flight in this process's lists as Redis has it, oldest claim first within a queue.

        A key of another type holds nothing. As with `count`, a master that was demoted does not tell what was in flight
        when it still was one: it is asked behind a write, which it refuses.
        """
        found: list[Held] = []
        for queue in self.queues:
            key = self.inflight(queue)
            try:
                entries = list(every(client, key, lease=self.lease, lease_ms=self.owner_args[1]))
            except redis.ResponseError as error:
                if concerns_all(error):
                    raise
                continue
            found += [Held(queue, key, place, entry) for place, entry in enumerate(entries)][::-1]
        return found

    def count(self, client: redis.Redis) -> int:
        """How many jobs are in flight in this process's lists as Redis has it."""
        pipeline = client.pipeline(transaction=False)  # not in a MULTI: a server that is full refuses even reads there
        pipeline.pexpire(self.lease, int(self.lease_ttl * 1000))  # changes nothing but the age of a lease that is there
        for queue in self.queues:
            pipeline.llen(self.inflight(queue))
        refused, *answers = pipeline.execute(raise_on_error=False)
        if isinstance(refused, Exception):
            raise refused
        return sum(answer for answer in answers if isinstance(answer, int))

    def leave(self, client: redis.Redis) -> bool:
        """Give up the lease at a clean stop; False if jobs are still in flight (a sweep will take them over)."""
        client.delete(self.lease)
        lists = [self.inflight(queue) for queue in self.queues]
        call = Call(script("forget"), [self.lease, keys.OWNERS, *lists], [self.identity])
        return bool(run(client, call))


def claim_call(berth: Berth, order: Order, room: int, rng: random.Random) -> Call:
    """Claim up to `room` jobs, each from the queue that `order` gives it."""
    drawn = (rng.getrandbits(SEEDS), *order.weights) if order.weights else ()
    return Call(
        script("claim"),
        [berth.lease, keys.OWNERS, *_pairs(berth.identity, order.queues)],
        [*berth.owner_args, room, *drawn],
    )


def claim_firsts_call(berth: Berth, order: Order, room: int, rng: random.Random) -> Call:
    """Claim up to `room` jobs; each fetch takes from the queue that it tries first, or nothing.

    For large jobs: a script copies each into Lua and out again, and Redis spends four times as long on one of 20 kB. A
    transaction does not. But it cannot look into the next queue when one is empty, so a claim that comes back short
    does not say that there are no more jobs.
    """
    identity, lease_ms, queues = berth.owner_args
    renewal = [("SET", berth.lease, identity, "PX", lease_ms), ("HSET", keys.OWNERS, identity, queues)]
    firsts = order.firsts(room, rng)
    moves = [("LMOVE", keys.queue(name), berth.inflight(name), "RIGHT", "LEFT") for name in firsts]
    return Call(None, [], [], [("MULTI",), *renewal, *moves, ("EXEC",)])


def claim_few_call(berth: Berth, order: Order, room: int, rng: random.Random) -> Call:
    """The same for a few jobs of any size, without a step for all: each moves on its own, and the lease stays as it is.

    A script costs four commands more, and Redis as much as five such moves.
    """
    firsts = order.firsts(room, rng)
    return Call(None, [], [], [("LMOVE", keys.queue(name), berth.inflight(name), "RIGHT", "LEFT") for name in firsts])


@lru_cache(maxsize=32)
def _pairs(identity: str, queues: Sequence[str]) -> list[str]:
    """The keys of these queues and of their in-flight lists, which are the same for many claims."""
    return [key for name in queues for key in (keys.queue(name), keys.inflight(identity, name))]


def read_claim(call: Call, answer: Sequence[Any], now: float) -> list[Claimed]:
    """The jobs that a claim brought, in the order they were taken. `now` is in epoch seconds."""
    prefix = len(keys.queue(""))
    if call.script is None:
        moves, moved = call.before, answer
        if moves[0] == ("MULTI",):
            moves, moved = moves[3:-1], answer[-1][2:]  # without MULTI, the renewal and EXEC
        return [
            Claimed(str(move[1])[prefix:], raw, now)
            for move, raw in zip(moves, moved, strict=True)
            if isinstance(raw, bytes)  # not nil, nor the error of a key that is no list: the script raises it
        ]
    queues = [str(key)[prefix:] for key in call.keys[2::2]]
    flat = iter(answer)
    return [Claimed(queues[pair - 1], raw, now) for pair, raw in zip(flat, flat, strict=True) if pair > 0]


def read_refused(call: Call, answer: Sequence[Any]) -> dict[str, str]:
    """The queues that a claim by script had to pass over, and the errors."""
    prefix = len(keys.queue(""))
    flat = iter(answer)
    pairs = zip(flat, flat, strict=True)
    return {str(call.keys[-2 * pair])[prefix:]: error.decode("utf-8", "replace") for pair, error in pairs if pair < 0}


def firsts_served(order: Order, room: int, call: Call, answer: Sequence[Any], claimed: Sequence[Claimed]) -> float:
    """Which part of a claim's `room` fetches found a job in the queue that they tried first."""
    if call.script is None:
        return len(claimed) / room
    if order.weights:  # as it is now: the weight of the queues that have not turned out to be empty
        open_weight: int = answer[-1]
        return open_weight / sum(order.weights)
    return sum(one.queue == order.queues[0] for one in claimed) / room


class Look(NamedTuple):
    """Which part of a shared queue a selective claim looks at: `WINDOW` entries behind `behind`, b"" for the old end.

    `place` is where that entry was, counted from the old end; `long_ago`, when it was seen before the last rest.
    """

    behind: bytes = b""
    place: int = 0
    long_ago: bool = False


class Looked(NamedTuple):
    """What a look saw: how many entries, whether up to the newest, and the newest that was left in place.

    `place` is where the next look begins, counted from the old end. `left` is what was left, by class.
    """

    seen: int
    to_the_end: bool
    newest_left: bytes
    place: int
    left: dict[str, int]
    claimed: list[Claimed]


def claim_known_call(berth: Berth, queue: str, room: int, look: Look, classes: Iterable[str]) -> Call:
    """Claim up to `room` jobs whose class is in `classes`."""
    pair = [berth.lease, keys.OWNERS, keys.queue(queue), berth.inflight(queue)]
    where = (look.behind, look.place, int(look.long_ago), WINDOW)
    return Call(script("claim_known"), pair, [*berth.owner_args, room, *where, *classes])


def read_look(queue: str, answer: Sequence[Any], now: float) -> Looked:
    """What a look brought, oldest first. `now` is in epoch seconds."""
    seen, end, newest, place, told, claimed = answer
    counts = iter(told)
    left = {name.decode("utf-8", "replace"): int(number) for name, number in zip(counts, counts, strict=True)}
    jobs = [Claimed(queue, raw, now) for raw in claimed]
    return Looked(int(seen), bool(end), newest, int(place), left, jobs)

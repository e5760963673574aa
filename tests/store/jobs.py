"""Jobs, berths and outcomes for the tests of this room."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from typing import Any

import redis as redis_py

from pykiq.config import Config
from pykiq.records import Acknowledge, Claimed, Outcome, Word, Write
from pykiq.store.claim import (
    Berth,
    Look,
    Looked,
    claim_call,
    claim_firsts_call,
    claim_known_call,
    read_claim,
    read_look,
)
from pykiq.store.order import Order
from pykiq.store.scripts import Call, run
from pykiq.store.settle import in_order, read_settled, settle_call

NOW = 1_795_315_631.5
CONFIG = Config.of()


def raw(number: int = 1, name: str = "Job", **keys: Any) -> bytes:
    """A payload; `number` is its only argument and makes its jid."""
    job = {"class": name, "args": [number], "jid": f"{number:024x}", "queue": "default", "retry": True, **keys}
    return json.dumps(job, separators=(",", ":")).encode()


def berth(*queues: str, identity: str = "host:1:aaaaaaaaaaaa", ttl: float = 12.0) -> Berth:
    return Berth(identity, queues or ("default",), ttl)


def push(redis: redis_py.Redis, queue: str, *raws: bytes) -> None:
    """Enqueue in this order: the first is the oldest."""
    redis.lpush(f"queue:{queue}", *raws)


RNG = random.Random(1)


def claim_in_order(place: Berth, room: int, *queues: str) -> Call:
    """The claim from these queues in strict order, all of its own unless given."""
    return claim_call(place, Order(queues or place.queues), room, RNG)


def claim(redis: redis_py.Redis, place: Berth, room: int, *queues: str) -> list[Claimed]:
    call = claim_in_order(place, room, *queues)
    return read_claim(call, run(redis, call), NOW)


def claim_firsts(
    redis: redis_py.Redis, place: Berth, room: int, order: Order | None = None, rng: random.Random = RNG
) -> list[Claimed]:
    """The same by a transaction."""
    call = claim_firsts_call(place, order or Order(place.queues), room, rng)
    return read_claim(call, run(redis, call), NOW)


ANEW = Look()


def claim_known(redis: redis_py.Redis, place: Berth, queue: str, room: int, *classes: str, look: Look = ANEW) -> Looked:
    """One look at a shared queue."""
    return read_look(queue, run(redis, claim_known_call(place, queue, room, look, classes)), NOW)


def raws(claimed: Iterable[Claimed]) -> list[bytes]:
    return [one.raw for one in claimed]


def outcome(claimed: Claimed, write: Write | None = None, word: Word = Word.DONE, **keys: Any) -> Outcome:
    return Outcome(claimed, word, Acknowledge() if write is None else write, **keys)


def settle(
    redis: redis_py.Redis, place: Berth, *outcomes: Outcome, config: Config = CONFIG, now: float = NOW
) -> list[str]:
    """Settle in one step; the fates, in the order of `outcomes`."""
    settled = read_settled(in_order(outcomes), run(redis, settle_call(place, in_order(outcomes), now, config)))
    fates = {id(one.outcome): str(one.fate) for one in settled}
    return [fates[id(one)] for one in outcomes]


def waiting(redis: redis_py.Redis, queue: str = "default") -> list[bytes]:
    """The jobs of a queue, the next to run first."""
    return list(reversed(redis.lrange(f"queue:{queue}", 0, -1)))


def in_flight(redis: redis_py.Redis, place: Berth, queue: str = "default") -> list[bytes]:
    """What a process holds from a queue, the oldest claim first."""
    return list(reversed(redis.lrange(place.inflight(queue), 0, -1)))

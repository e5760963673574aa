"""Due jobs: out of `schedule` or `retry` and into their queues, each in one atomic step.

Ruby takes a due job out first and pushes it afterwards; what cannot be pushed is lost then (WIRE.md §9). Here the
member is only looked at, its new bytes are made outside Redis, and one script moves it: whoever finds it gone writes
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

import redis

from pykiq.config import Config
from pykiq.store.bounded import PORTION, TRIES, Entry, sent
from pykiq.store.scripts import Call, run, script
from pykiq.wire import keys, untrusted

SETS = (keys.RETRY, keys.SCHEDULE)  # the order in which Sidekiq's poller drains them
LONG_REST = 60.0  # seconds until one is tried again that is too large for Redis to send or to take
REST = 5.0  # seconds until a job that could not be moved is due again


@dataclass(frozen=True, slots=True)
class Move:
    """What shall become of one due member.

    `push` needs `queue` and `entry`; `later` needs `at` and `entry` and stays in its set; `schedule` needs the same and
    goes to that set; `dead` needs `entry`, and `why` for who is told; `drop` nothing.
    """

    kind: Literal["push", "later", "schedule", "dead", "drop"]
    member: bytes
    queue: str = ""
    entry: bytes = b""
    at: float = 0.0
    why: str = ""


def peek(client: redis.Redis, key: str, now: float, limit: int) -> list[Entry]:
    """Up to `limit` members of `key` that are due at `now` (epoch s), the earliest first: a portion that Redis sends.

    Nothing is removed.
    """
    call = Call(script("due_portion"), [key], [now, limit, PORTION])
    return [Entry(answer) for answer in run(client, call)]


def whole(client: redis.Redis, key: str, now: float, place: int, entry: Entry) -> bytes | None:
    """The bytes of a large member that was at `place` among the due; None when Redis does not send them."""
    found: Any = sent(client, lambda: client.zrangebyscore(key, "-inf", now, start=place, num=1))
    return found[0] if found and len(found[0]) == entry.size else None


def rest(client: redis.Redis, key: str, now: float, entry: Entry) -> None:
    """Let a member rest for `LONG_REST` seconds, of which nothing need be sent: there or back it is too large."""
    run(client, Call(script("due_rest"), [key], [now, entry.size, entry.digest, now + LONG_REST]))


def next_scores(client: redis.Redis) -> dict[str, float]:
    """The earliest score of `retry` and of `schedule` (epoch s; may be infinite); without those that are empty.

    A key of another type counts as due since ever: who looks into it is told.
    """
    return {key: -math.inf if score is None else score for key, score in _scores(client)}


def next_score(client: redis.Redis) -> float | None:
    """The earliest score of both (epoch s; may be infinite); None when there is none."""
    return min((score for _, score in _scores(client) if score is not None), default=None)


def _scores(client: redis.Redis) -> Iterator[tuple[str, float | None]]:
    answers = run(client, Call(script("next_due"), SETS, []))
    for key, score in zip(SETS, answers, strict=True):
        if score:
            yield key, untrusted.score(float(score))
        elif score is None:
            yield key, None


class Moved(IntEnum):
    """What became of a move: done, another process had taken the member already, or Redis refused it: it rests."""

    DONE = 1
    GONE = 0
    REFUSED = -1


def move(
    client: redis.Redis, key: str, moves: Sequence[Move], now: float, config: Config, *, rest: float | None = REST
) -> list[Moved]:
    """Carry out `moves` on the sorted set `key`.

    What is refused (its queue is no list) is due again after `rest` seconds, or stays as it was when that is None.
    """
    queues = {name: number for number, name in enumerate(sorted({one.queue for one in moves if one.queue}), 1)}
    args: list[str | int | float | bytes] = [now, now - config.dead_timeout, config.dead_max_jobs]
    args.append("" if rest is None else now + rest)
    for one in moves:
        args += (one.kind, one.member, queues.get(one.queue, 0), keys.raw(one.queue), one.at, one.entry)
    lists = [keys.raw(keys.queue(name)) for name in queues]
    call = Call(script("due"), [key, keys.QUEUES, keys.DEAD, keys.SCHEDULE, *lists], args)
    return [Moved(answer) for answer in run(client, call)]


def move_apart(
    client: redis.Redis, key: str, moves: Sequence[Move], now: float, config: Config
) -> Iterator[tuple[Move, Moved | None]]:
    """The same, but one on which Redis hangs up keeps no other waiting: its answer is None, and it stays as it was."""
    tries = TRIES if len(moves) == 1 else 1
    for _ in range(tries):
        try:
            yield from zip(moves, move(client, key, moves, now, config), strict=True)
        except (redis.ConnectionError, OSError):
            client.ping()  # raises when it is Redis that is away
        else:
            return
    middle = len(moves) // 2
    for part in (moves[:middle], moves[middle:]) if middle else ():
        yield from move_apart(client, key, part, now, config)
    if not middle:
        yield moves[0], None

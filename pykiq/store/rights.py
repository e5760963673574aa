"""What a user of Redis has to be allowed so that workers and clients do all they can: the table, and who lacks what.

A server with access rules (ACL) refuses single commands. Some of those are missed at once; without others a worker
runs, but idle ones ask again and again instead of being told, or a stop takes longer: nobody would know why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import redis
from redis.exceptions import NoPermissionError

from pykiq.errors import StoreError
from pykiq.store.roundtrip import Command, round_trip
from pykiq.wire import keys

PROBED = "pykiq:rights"  # a key that is never there


class Right(NamedTuple):
    """Commands that are needed for one thing; what is done without them; and harmless ones that tell of it."""

    commands: tuple[str, ...]
    why: str
    without: str
    probes: tuple[Command, ...] = ()


RIGHTS = (
    Right(
        ("ping", "evalsha", "script|load", "multi", "exec", "lmove", "lrem", "llen", "lrange", "pexpire", "exists"),
        "claiming and settling jobs; scripts need each command they run",
        "no job runs",
        (("SCRIPT", "LOAD", "return 1"), ("LLEN", PROBED), ("PEXPIRE", PROBED, 1)),
    ),
    Right(
        ("lpush", "rpush", "lpop", "lset", "ltrim", "lindex", "lpos", "sadd", "set", "del", "expire", "hset", "hdel"),
        "the same",
        "no job runs",
        (("DEL", PROBED), ("HDEL", PROBED, "x"), ("LTRIM", PROBED, 0, 0)),
    ),
    Right(
        ("zadd", "zrem", "zcard", "zcount", "zscore", "zrange", "zrangebyscore", "zremrangebyscore", "zremrangebyrank"),
        "retries, scheduled and dead jobs",
        "jobs that fail stay in flight, and none that is due is moved",
        (("ZREM", PROBED, "x"), ("ZCARD", PROBED), ("ZREMRANGEBYRANK", PROBED, 0, 0)),
    ),
    Right(
        ("blmove", "client|id", "client|unblock"),
        "waiting for jobs without asking, and ending that",
        "an idle worker asks again and again, a job waits up to 0.7 s longer for its start, and a stop takes up to 5 s",
        (("BLMOVE", PROBED, PROBED, "RIGHT", "LEFT", 0.001), ("CLIENT", "ID"), ("CLIENT", "UNBLOCK", 0)),
    ),
    Right(
        ("client|tracking", "subscribe"),
        "hearing of jobs in many queues over two connections (with the channel `&__redis__:invalidate`)",
        "each of more than 16 queues is waited for on a connection of its own",
        (("CLIENT", "TRACKING", "OFF"),),
    ),
    Right(
        ("brpop",),
        "keeping the lease while a handler holds the GIL",
        "a handler that holds the GIL for longer than a lease loses its jobs",
        (("BRPOP", PROBED, 0.001),),
    ),
    Right(
        ("pttl",),
        "leaving it to one process to look for due jobs and for dead processes",
        "every process looks, and Redis has the more to do the more there are",
        (("PTTL", PROBED),),
    ),
    Right(
        ("get", "hget", "hgetall", "hkeys", "hmget", "hsetnx", "scan", "time"),
        "taking over from processes that died",
        "jobs of processes that died may stay where they are",
        (("SCAN", 0, "COUNT", 1), ("HGETALL", PROBED), ("HKEYS", PROBED), ("TIME",)),
    ),
    Right(
        ("smembers", "hexists", "hstrlen", "sscan", "srem", "rpop", "unlink", "incrby", "hincrby", "bitfield"),
        "the heartbeat and the numbers on the dashboards, their buttons, and paused queues",
        "the process is not seen on the dashboards, and does not hear of their buttons or of paused queues",
        (("SMEMBERS", PROBED), ("SREM", PROBED, "x"), ("RPOP", PROBED), ("UNLINK", PROBED)),
    ),
    Right(
        ("info",),
        "knowing the server's version and settings at the start",
        "a server that is too old or that may evict jobs is not warned of",
        (("INFO", "server"),),
    ),
)
KEYS = (
    *("pykiq:*", "queue:*", "queues", "schedule", "retry", "dead", "processes", "process_cleanup", "paused"),
    *("stat:*", "j|*", "h|*", "*-[0-9][0-9]-*"),
)
"""Patterns of keys; besides them all that begin with a host's name, the identity of its processes."""

CHANNEL = "__redis__:invalidate"
"""On which Redis tells what has changed of that which was asked for."""

_ZSETS = (keys.RETRY, keys.SCHEDULE, keys.DEAD)
_SETS = (keys.QUEUES, keys.PROCESSES)
_A_KEY = re.compile("permissions? to access")  # what a refusal says that is for a key; others name the command


class Lacking(NamedTuple):
    """A right that this user has not: the commands that were refused, and what that means."""

    commands: tuple[str, ...]
    without: str

    @property
    def rules(self) -> str:
        """The rules that allow them, for ACL SETUSER."""
        return " ".join(f"+{name}" for name in self.commands)


def lacking(client: redis.Redis) -> list[Lacking]:
    """What this connection's user is not allowed, as far as harmless commands can tell. Raises redis.RedisError."""
    answers = iter(round_trip(client, [probe for right in RIGHTS for probe in right.probes]))
    found = []
    for right in RIGHTS:
        refused = [_name(probe) for probe in right.probes if _is_refused(next(answers))]
        if refused:
            found.append(Lacking(tuple(refused), right.without))
    return found


def closed(client: redis.Redis, queues: Iterable[str]) -> list[str]:
    """The patterns of keys that this connection's user may not read and write, of those that every job needs.

    Asked with commands that change nothing, whatever the key is. Raises redis.RedisError.
    """
    probes: list[tuple[str, Command]] = [("pykiq:*", ("DEL", PROBED))]
    probes += [(key, ("ZREM", key, PROBED)) for key in _ZSETS]
    probes += [(key, ("SREM", key, PROBED)) for key in _SETS]
    probes += [("queue:*", ("LTRIM", keys.queue(name), 0, -1)) for name in queues]
    answers = round_trip(client, [probe for _, probe in probes])
    refused = [pattern for (pattern, _), answer in zip(probes, answers, strict=True) if _is_of_key(answer)]
    return list(dict.fromkeys(refused))


def check_keys(client: redis.Redis, queues: Iterable[str]) -> None:
    """Raise StoreError when a key is closed to this user: jobs would run, and none of them could be settled."""
    found = closed(client, queues)
    if found:
        raise StoreError(
            f"this user of Redis may not read and write {', '.join(found)}: jobs would run, and none could be settled;"
            f" allow it: ACL SETUSER … {' '.join(f'~{pattern}' for pattern in found)}"
        )


def _is_refused(answer: Any) -> bool:
    return _is_no_permission(answer) and not _is_of_key(answer)


def _is_of_key(answer: Any) -> bool:
    return _is_no_permission(answer) and _A_KEY.search(str(answer)) is not None


def _is_no_permission(answer: Any) -> bool:
    return isinstance(answer, NoPermissionError) or str(answer).startswith("NOPERM")


def _name(probe: Command) -> str:
    words = [str(word).lower() for word in probe[:2]]
    return "|".join(words) if words[0] in ("client", "script") else words[0]

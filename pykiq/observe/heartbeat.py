"""This process's place in `processes`: what it says about itself, beat by beat (WIRE.md §10, §21).

Builders first, pure; then `Beat`, which sends.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import redis as redis_py

from pykiq.config import Config
from pykiq.errors import PayloadError
from pykiq.logger import get_logger
from pykiq.observe.counters import Counters, Counts
from pykiq.observe.memory import rss_kb
from pykiq.version import __version__
from pykiq.wire import keys
from pykiq.wire.exactjson import dumps

STUCK = 30.0  # seconds without a turn of the loop that moves jobs after which a process does not count as alive
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def hostname(environ: Mapping[str, str]) -> str:
    """The machine's name; `DYNO` wins where it is set (WIRE.md §10.1)."""
    name = environ.get("DYNO", "").strip() or socket.gethostname()
    return name.encode("utf-8", "replace").decode()


def identity(host: str, pid: int, nonce: str) -> str:
    """`<hostname>:<pid>:<12 hex digits>`; `nonce` is the random part, fixed for the life of the process."""
    return f"{host}:{pid}:{nonce}"


def thread_id(number: int, pid: int) -> str:
    """The opaque name of one running job's thread or task: lower case base 36, as Ruby's (WIRE.md §10.4)."""
    number = abs(number ^ pid)
    digits = ""
    while number or not digits:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits


def process_info(
    config: Config,
    *,
    host: str,
    pid: int,
    identity: str,
    started_at: float,
    embedded: bool = False,
    version: str = __version__,
) -> bytes:
    """The `info` field: the superset that the Web UIs of 6.4, 7.3 and 8.1 all accept (WIRE.md §21).

    `concurrency` stays in it although 8.1 dropped it: 7.3's busy page breaks without. `pykiq` is ours, and how another
    pykiq tells this process from a Ruby one.
    """
    weights = [dict(capsule.queues) for capsule in config.capsules]
    return _json(
        {
            "hostname": host,
            "started_at": float(started_at),
            "pid": pid,
            "tag": config.tag,
            "concurrency": total_concurrency(config),
            "capsules": {
                capsule.name: {"concurrency": capsule.concurrency, "mode": capsule.mode, "weights": weight}
                for capsule, weight in zip(config.capsules, weights, strict=True)
            },
            "queues": list(dict.fromkeys(name for capsule in config.capsules for name in capsule.names)),
            "weights": weights,
            "labels": list(config.labels),
            "identity": identity,
            "version": f"pykiq-{version}",
            "embedded": embedded,
            "pykiq": version,
        }
    )


def total_concurrency(config: Config) -> int:
    return sum(capsule.concurrency for capsule in config.capsules)


@dataclass(frozen=True, slots=True)
class Running:
    """A job that runs now. `thread` is a number that no other running job of the process has; `run_at` in seconds."""

    thread: int
    queue: str
    raw: bytes
    run_at: float


def work_record(running: Running) -> bytes:
    """The value in the work hash (WIRE.md §10.4). The payload is a string: bytes that are not UTF-8 show as U+FFFD."""
    payload = running.raw.decode("utf-8", "replace")
    return _json({"queue": running.queue, "payload": payload, "run_at": int(running.run_at)})


def stat_commands(counts: Counts, day: str) -> list[tuple[str | int, ...]]:
    """The commands that add `counts` to the totals and to the UTC `day`; none for nothing (WIRE.md §11)."""
    if not counts.processed and not counts.failed:
        return []
    return [
        ("INCRBY", keys.STAT_PROCESSED, counts.processed),
        ("INCRBY", keys.stat_processed(day), counts.processed),
        ("EXPIRE", keys.stat_processed(day), keys.STAT_DAY_TTL),
        ("INCRBY", keys.STAT_FAILED, counts.failed),
        ("INCRBY", keys.stat_failed(day), counts.failed),
        ("EXPIRE", keys.stat_failed(day), keys.STAT_DAY_TTL),
    ]


@dataclass(frozen=True, slots=True)
class Beaten:
    """What a beat brought back.

    `signals` are the names popped (`TSTP`, `TERM`, `TTIN`, or whatever somebody pushed), at most one per beat as in
    Ruby. `first` says that Redis did not know this process: the "heartbeat" event fires.
    """

    signals: list[str]
    first: bool
    rtt_us: int


class Beat:
    """Sends this process's heartbeat. Two round trips: a timed PING, then everything else in one MULTI."""

    def __init__(
        self,
        identity: str,
        info: bytes,
        *,
        pid: int,
        concurrency: int,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.perf_counter,
        memory: Callable[[], int] = rss_kb,
    ) -> None:
        self.identity = identity
        self._info = info
        self._pid = pid
        self._concurrency = concurrency
        self._clock = clock
        self._timer = timer
        self._memory = memory
        self._rtt_us = 0
        self._was_forgotten = False
        self._warned = False

    def send(
        self,
        redis: redis_py.Redis,
        *,
        work: Iterable[Running],
        busy: int,
        quiet: bool,
        counters: Counters,
        legacy_workers: bool,
    ) -> Beaten:
        """One beat. `legacy_workers` writes the work hash under 6.4's name too.

        Raises redis.RedisError when Redis did not take it; the counts are then back in `counters`. A connection that
        breaks between EXEC and its answer counts twice: the alternative is to lose counts.
        """
        before = self._timer()
        redis.ping()
        self._rtt_us = max(0, round((self._timer() - before) * 1_000_000))
        now = self._clock()
        work_commands = self._work_commands(work, legacy_workers)
        # RPOP goes after everything that may be refused.
        commands = [*self._process_commands(now, busy, quiet), *work_commands, ("RPOP", keys.signals(self.identity))]
        replies = self._flush(redis, commands, counters, now)
        popped = replies[-1]
        signals = [popped.decode("utf-8", "replace")] if isinstance(popped, bytes) else []
        first = not replies[0] or self._was_forgotten
        self._was_forgotten = False
        return Beaten(signals=signals, first=first, rtt_us=self._rtt_us)

    def show(
        self,
        redis: redis_py.Redis,
        *,
        begun: Iterable[Running],
        ended: Iterable[int],
        busy: int,
        quiet: bool,
        legacy_workers: bool,
    ) -> None:
        """Tell of jobs that have begun, and of threads whose job has ended, between two beats. One round trip.

        Raises redis.RedisError.
        """
        commands = self._process_commands(self._clock(), busy, quiet)
        gone = [thread_id(thread, self._pid) for thread in ended]
        if gone:
            commands += [("HDEL", name, *gone) for name in self._work_keys(legacy_workers=True)]
        commands += self._record_commands(begun, legacy_workers)
        replies = self._flush(redis, commands, Counters(), self._clock())
        self._was_forgotten |= not replies[0]

    def clear(self, redis: redis_py.Redis, counters: Counters) -> None:
        """The end of a clean stop (WIRE.md §10.5): the last counts, and out of `processes`.

        The `<identity>` hash is left to expire, as Ruby does. Raises redis.RedisError; the counts are then back.
        """
        unlink = ("UNLINK", keys.work(self.identity), keys.workers(self.identity))
        self._flush(redis, [("SREM", keys.PROCESSES, self.identity), unlink], counters, self._clock())

    def _process_commands(self, now: float, busy: int, quiet: bool) -> list[tuple[Any, ...]]:
        """The first of the answers tells whether Redis knew this process."""
        key = keys.process(self.identity)
        return [
            ("EXISTS", key),
            ("SADD", keys.PROCESSES, self.identity),
            ("HSET", key, *self._fields(now, busy, quiet)),
            ("EXPIRE", key, keys.PROCESS_TTL),
        ]

    def _fields(self, now: float, busy: int, quiet: bool) -> list[str | int | bytes]:
        fields: dict[str, str | int | bytes] = {
            "info": self._info,
            "concurrency": self._concurrency,
            "busy": busy,
            "beat": repr(float(now)),
            "rtt_us": self._rtt_us,
            "quiet": "true" if quiet else "false",
            "rss": self._memory(),
        }
        return [part for pair in fields.items() for part in pair]

    def _work_commands(self, work: Iterable[Running], legacy_workers: bool) -> list[tuple[Any, ...]]:
        # Both are unlinked whatever is written: the fleet may have lost its last 6.4 since the beat before.
        return [("UNLINK", *self._work_keys(legacy_workers=True)), *self._record_commands(work, legacy_workers)]

    def _record_commands(self, work: Iterable[Running], legacy_workers: bool) -> list[tuple[Any, ...]]:
        record = {thread_id(running.thread, self._pid): work_record(running) for running in work}
        pairs = [part for pair in record.items() for part in pair]
        commands: list[tuple[Any, ...]] = []
        for name in self._work_keys(legacy_workers=legacy_workers) if record else ():
            commands += [("HSET", name, *pairs), ("EXPIRE", name, keys.PROCESS_TTL)]
        return commands

    def _work_keys(self, *, legacy_workers: bool) -> list[str]:
        return [keys.work(self.identity), *([keys.workers(self.identity)] if legacy_workers else [])]

    def _flush(
        self, redis: redis_py.Redis, commands: list[tuple[Any, ...]], counters: Counters, now: float
    ) -> list[Any]:
        """Send `commands` and the counts in one MULTI; the replies to `commands` alone."""
        counts = counters.take()
        stats = stat_commands(counts, keys.utc_day(now))
        try:
            with redis.pipeline(transaction=True) as pipeline:
                queue: Any = pipeline.execute_command  # has no types of its own
                for command in [*stats, *commands]:
                    queue(*command)
                # Not raising on one command's error: the rest of the MULTI happened, and a signal was popped.
                replies: list[Any] = pipeline.execute(raise_on_error=False)
        except BaseException:
            counters.give_back(counts)
            raise
        self._warn(replies)
        return replies[len(stats) :]

    def _warn(self, replies: list[Any]) -> None:
        broken = next((reply for reply in replies if isinstance(reply, Exception)), None)
        if broken is not None and not self._warned:
            self._warned = True
            get_logger("pykiq.heartbeat").warning("a part of the heartbeat was refused", error=str(broken))


def _json(value: dict[str, Any]) -> bytes:
    try:
        written = dumps(value)
        written.decode()  # bytes that were no UTF-8 are written as they came
    except (PayloadError, UnicodeDecodeError):
        return dumps(_readable(value))
    return written


def _readable(value: Any) -> Any:
    """A copy whose strings are valid UTF-8: names from the command line or a payload may hold any bytes."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_readable(key): _readable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_readable(item) for item in value]
    return value

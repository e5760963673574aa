"""What every chaos test needs: worker processes to maltreat, jobs to push, and the ledger that counts them."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import redis

from pykiq.wire import keys
from tests.servers import Server, wait_until

ROOT = Path(__file__).resolve().parents[2]
HANDLERS = Path(__file__).with_name("handlers.py")
SETS = ("retry", "schedule")
NO_JOB = b"no job but bytes:"  # what begins so is not JSON, and ends with the job's number

# Dead is noticed within this many seconds, so that a test can afford many deaths.
IMPATIENT = {"lease_ttl": 1.5, "sweep_interval": 0.3, "poll_interval": 0.2}

# Frozen is noticed within 5 s: Redis carries out the standing orders of such a process until none is left.
HASTY = {"lease_ttl": 0.6, "sweep_interval": 0.2, "poll_interval": 0.2}


def payload(
    number: int,
    name: str = "QuickJob",
    *args: object,
    queue: str = "default",
    shift: float = 0.0,
    jid: int | None = None,
    **keys: object,
) -> bytes:
    """A job as a Ruby of version 7 pushes it, on a machine whose clock is `shift` seconds ahead.

    `jid` is that of another job, for applications that set it themselves.
    """
    now = time.time() + shift
    shared = number if jid is None else jid
    job = {"retry": True, "queue": queue, "args": [number, *args], "class": name, "jid": f"{shared:024x}"}
    return json.dumps(job | {"created_at": now, "enqueued_at": now} | keys, separators=(",", ":")).encode()


def mixed(count: int, rng: random.Random, **keys: object) -> list[bytes]:
    """Jobs 0 … count - 1: half of them quick, the others slow, failing, snoozing, asynchronous. All have `keys` too."""
    kinds = ["QuickJob"] * 10 + ["AsyncJob"] * 4 + ["FlakyJob"] * 3 + ["SnoozingJob"] * 3
    jobs = []
    for number in range(count):
        name = kinds[number % len(kinds)]
        jobs.append(payload(number, name, round(rng.uniform(0.0, 0.05), 3) if number % 2 else 0.0, **keys))
    rng.shuffle(jobs)
    return jobs


def portions(jobs: list[bytes], count: int) -> list[list[bytes]]:
    """`jobs` in so many parts, one to be pushed before each kill: however slow a start is, then there is work to do."""
    return [jobs[number::count] for number in range(count)]


def push(client: redis.Redis, jobs: list[bytes], queue: str = "default") -> None:
    client.sadd("queues", queue)
    client.lpush(f"queue:{queue}", *jobs)


def text(entry: object) -> bytes:
    assert isinstance(entry, bytes)
    return entry


class Ledger:
    """What the jobs wrote down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lines(self) -> list[tuple[str, int, str, int]]:
        """What happened, to which job, in which process, at which attempt."""
        try:
            written = (self.folder / "ledger").read_text()
        except FileNotFoundError:
            return []
        split = (line.split() for line in written.splitlines())
        return [(what, int(number), where, int(attempt)) for what, number, where, attempt in split]

    def count(self, what: str = "done") -> Counter[int]:
        return Counter(number for happened, number, _, _ in self.lines() if happened == what)


@dataclass(frozen=True)
class Report:
    """The account of a chaos test."""

    jobs: int
    done: int
    lost: list[int]
    poisoned: int
    unreadable: int
    twice: int
    unwritten: int

    def __str__(self) -> str:
        return (
            f"{self.jobs} jobs, {self.done} done, {len(self.lost)} lost, {self.poisoned} dead as poison pill,"
            f" {self.unreadable} dead as unreadable, {self.unwritten} dead as too large to be written otherwise,"
            f" {self.twice} ran twice"
        )


def account(client: redis.Redis, ledger: Ledger, jobs: int) -> Report:
    """Count every job 0 … jobs - 1 in the ledger and in Redis."""
    done = ledger.count()
    entries = [text(entry) for entry in client.zrange("dead", 0, -1)]
    odd = {int(entry.split()[-1]) for entry in entries if entry.startswith(NO_JOB)}
    buried = [json.loads(entry) for entry in entries if not entry.startswith(NO_JOB)]
    dead = {job["args"][0] for job in buried if job["error_class"] == "pykiq.PoisonPill"}
    cut = {job["args"][0] for job in buried if job["class"] == "LargeJob"} - dead
    lost = [number for number in range(jobs) if not done[number] and number not in dead | odd | cut]
    twice = sum(1 for number in range(jobs) if done[number] > 1)
    return Report(jobs, len(done), lost, len(dead), len(odd), twice, len(cut))


def in_flight(client: redis.Redis) -> list[bytes]:
    """The keys of in-flight lists that hold something."""
    return sorted(client.scan_iter("pykiq:inflight:*", count=1000))


def left(client: redis.Redis, queue: str = "default") -> int:
    """Jobs that Redis still has to have run."""
    waiting = int(client.llen(f"queue:{queue}")) + sum(int(client.zcard(key)) for key in SETS)
    return waiting + sum(int(client.llen(key)) for key in in_flight(client))


def hurry(client: redis.Redis) -> None:
    """Make what waits for its retry due now."""
    now = time.time()
    for member in client.zrangebyscore("retry", now + 0.5, "+inf"):
        client.zadd("retry", {member: now}, xx=True)


def finish(client: redis.Redis, seconds: float = 60.0) -> None:
    """Wait until Redis has nothing left to run."""

    def empty() -> bool:
        with contextlib.suppress(redis.RedisError):
            hurry(client)
            return left(client) == 0
        return False

    wait_until(empty, seconds, "an empty queue, no retries, nothing in flight")


class Worker:
    """One `pykiq run` process."""

    def __init__(
        self, fleet: Fleet, url: str, options: tuple[str, ...], settings: dict[str, object], *, piped: bool = False
    ) -> None:
        """`piped`: what it logs goes through a pipe that somebody reads, `reader`, who may be stopped."""
        name = f"w{len(fleet.workers)}"
        self.name = name
        self.log = fleet.folder / f"{name}.log"
        environment = os.environ | {
            "CHAOS_FOLDER": str(fleet.folder),
            "CHAOS_NAME": name,
            "CHAOS_SETTINGS": json.dumps(settings),
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-m", "pykiq", "run", "--require", str(HANDLERS), "--redis", url]
        self.reader: subprocess.Popen[bytes] | None = None
        with contextlib.ExitStack() as opened:
            log: IO[bytes] = opened.enter_context(self.log.open("wb"))
            if piped:
                self.reader = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=log)
                assert self.reader.stdin
                log = opened.enter_context(self.reader.stdin)
            self.process = subprocess.Popen(
                [*command, "--log-format", "json", *options],
                env=environment,
                cwd=fleet.folder,
                stdout=log,
                stderr=log,
                process_group=0,  # so that whatever it has forked can be ended with it
            )

    def events(self) -> list[dict[str, Any]]:
        """The lines of its log, whole ones."""
        lines = self.log.read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith(b"{")]

    def said(self, event: str) -> bool:
        return f'"event":"{event}"' in self.log.read_text(errors="replace")

    def told(self, event: str) -> list[dict[str, Any]]:
        """The lines of its log with that event."""
        return [line for line in self.events() if line["event"] == event]

    def ready(self, children: int = 1) -> Worker:
        """Wait until it runs, or as many children as it is to have."""

        def up() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended at start: {self.log.read_text(errors='replace')[-2000:]}")
            return len(self.told("running")) >= children

        wait_until(up, 20, f"worker {self.name} running")
        return self

    def leased(self, store: redis.Redis) -> bool:
        """Whether it counts as alive."""
        return bool(store.exists(keys.lease(self.told("running")[0]["identity"])))

    def children(self) -> list[int]:
        """The pids of the children of a swarm that have not ended, as its parent says."""
        started = [line["pid"] for line in self.told("child_started")]
        ended = {line["pid"] for event in ("child_stopped", "child_crashed") for line in self.told(event)}
        return [pid for pid in started if pid not in ended]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds: float = 30.0) -> int:
        """TERM; the exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(seconds)


class Fleet:
    """The workers of one test; whatever is left of them is killed at its end."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.workers: list[Worker] = []
        self.ledger = Ledger(folder)

    def start(
        self, *options: str, url: str = "", settings: dict[str, object] | None = None, piped: bool = False
    ) -> Worker:
        chosen = dict(IMPATIENT) if settings is None else settings
        worker = Worker(self, url or self.url, options, chosen, piped=piped)
        self.workers.append(worker)
        return worker

    def close(self) -> None:
        for worker in self.workers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.process.pid, signal.SIGCONT)
                os.killpg(worker.process.pid, signal.SIGKILL)
            worker.process.wait()
            if worker.reader:
                worker.reader.kill()
                worker.reader.wait()


@contextlib.contextmanager
def fleet(folder: Path, server: Server) -> Iterator[Fleet]:
    made = Fleet(folder, server.url)
    try:
        yield made
    finally:
        made.close()


def moments(rng: random.Random, shortest: float, longest: float) -> Callable[[], None]:
    """A sleep of random length: the moment at which something is done to a worker."""
    return lambda: time.sleep(rng.uniform(shortest, longest))

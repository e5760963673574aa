"""A soak: workers under load while everything that can happen to them and to Redis happens, at random, for a long time.

python -m tests.chaos.soak [--minutes M] [--seed N]

The fleet: a plain worker, one behind a proxy, and a parent with two children. Whoever dies is replaced. At the end
everything is healed, the queues run empty, and the ledger counts: a lost job, or anything left in flight, is a failure;
what ran twice is told.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import redis

from tests.chaos.fleet import NO_JOB, Fleet, Worker, account, hurry, in_flight, left, payload
from tests.chaos.proxy import Proxy
from tests.chaos.pusher import Pusher
from tests.servers import Server, free_port

MB = 1024 * 1024
KINDS = ["QuickJob"] * 10 + ["AsyncJob"] * 4 + ["FlakyJob"] * 3 + ["SnoozingJob"] * 3
RATE = 80  # jobs per second
QUIET = (0.2, 3.0)  # seconds between two deeds
FREEZE = (0.5, 12.0)  # seconds: some within a lease, some until the last standing order is carried out, some beyond
PATIENCE = 120.0  # seconds for the last jobs
CREW = (("-c", "4"), ("-c", "4"), ("--processes", "2", "-c", "3"))
RUNNING = (1, 1, 2)  # processes with jobs in each
PIPED, BEHIND_PROXY = 0, 1
STORM = 500  # jobs that become due at once
LARGE_BYTES = MB - 2000  # of a job that Redis takes when it takes no value above 1 MB; its entry in `retry` is above
LIMITED = (1.0, 6.0)  # seconds during which Redis takes or sends no large value, is full, or is a replica
STUCK = (1.0, 20.0)  # seconds during which nobody reads what a worker logs


class Soak:
    """One run."""

    def __init__(self, folder: Path, server: Server, seed: int) -> None:
        self.rng = random.Random(seed)
        self.server = server
        self.proxy = Proxy(server.port)
        self.fleet = Fleet(folder, server.url)
        self.posts = [self._start(post) for post in range(len(CREW))]
        self.deeds: Counter[str] = Counter()
        self.numbers = itertools.count()
        self._poison = itertools.cycle([False] * 1499 + [True])

    def jobs(self) -> Iterator[bytes]:
        """Jobs without end: of every kind, from machines whose clocks are wrong, some with one jid; large ones, poison
        pills, and bytes that are no job."""
        rng = random.Random(self.rng.random())
        for number in self.numbers:
            if next(self._poison):
                self.deeds["poison pill"] += 1
                yield payload(number, "PoisonJob")
                continue
            if rng.random() < 0.002:
                self.deeds["bytes that are no job"] += 1
                yield NO_JOB + f" {number}".encode()
                continue
            if rng.random() < 0.002:
                self.deeds["job of 1 MB"] += 1
                yield payload(number, "LargeJob", "x" * LARGE_BYTES)
                continue
            shift = rng.choice([0.0] * 8 + [-86_400.0, 3600.0])
            self.deeds["clock moved in a payload"] += bool(shift)
            seconds = round(rng.uniform(0.0, 0.05), 3) if number % 2 else 0.0
            jid = number // 4 if rng.random() < 0.05 else None
            self.deeds["job with another's jid"] += jid is not None
            yield payload(number, rng.choice(KINDS), seconds, shift=shift, jid=jid)

    def misbehave(self, until: float) -> None:
        """Deeds at random until `until` (monotonic); after each, whoever has died is replaced."""
        every: list[Callable[[], None]] = [
            *[self.kill_worker, self.kill_child, self.freeze, self.restart] * 2,
            *(self.crash_redis, self.pause_redis, self.cut, self.swallow, self.flush_scripts),
            *(self.demote_redis, self.fill_redis, self.refuse_large, self.send_no_large, self.storm, self.stick_log),
        ]
        while time.monotonic() < until:
            time.sleep(self.rng.uniform(*QUIET))
            deed = self.rng.choice(every)
            with contextlib.suppress(redis.RedisError, ProcessLookupError):
                deed()
            self.deeds[deed.__name__.replace("_", " ")] += 1
            self.replace_dead()

    def replace_dead(self) -> None:
        for post, worker in enumerate(self.posts):
            if worker.process.poll() is not None:
                self.posts[post] = self._start(post)

    def _start(self, post: int) -> Worker:
        url = self.proxy.url if post == BEHIND_PROXY else ""
        return self.fleet.start(*CREW[post], "-t", "2", url=url, piped=post == PIPED)

    def _anybody(self) -> int:
        """The pid of a worker, of a parent or of a child."""
        everybody = [worker.process.pid for worker in self.posts]
        return self.rng.choice(everybody + [pid for worker in self.posts for pid in worker.children()])

    # What happens.

    def kill_worker(self) -> None:
        self.rng.choice(self.posts).kill()

    def kill_child(self) -> None:
        children = [pid for worker in self.posts for pid in worker.children()]
        if children:
            os.kill(self.rng.choice(children), signal.SIGKILL)

    def freeze(self) -> None:
        pid = self._anybody()
        os.kill(pid, signal.SIGSTOP)
        time.sleep(self.rng.uniform(*FREEZE))
        os.kill(pid, signal.SIGCONT)

    def restart(self) -> None:
        self.rng.choice(self.posts).signal(signal.SIGTERM)

    def crash_redis(self) -> None:
        self.server.kill()
        time.sleep(self.rng.uniform(0.0, 1.0))
        self.server.start()

    def pause_redis(self) -> None:
        with self.server.client() as client:
            client.client_pause(int(self.rng.uniform(50, 3000)), all=self.rng.random() < 0.5)

    def cut(self) -> None:
        self.proxy.cut(self.rng.uniform(0.05, 2.0))

    def swallow(self) -> None:
        self.proxy.half(self.rng.uniform(0.01, 0.3), linger=self.rng.choice([0.0, 2.0]))

    def flush_scripts(self) -> None:
        with self.server.client() as client:
            client.script_flush()

    def demote_redis(self) -> None:
        """As a fail-over without Sentinel does: open connections stay open, to what is a replica now."""
        with self.server.client() as client:
            client.execute_command("REPLICAOF", "127.0.0.1", str(free_port()))
            try:
                time.sleep(self.rng.uniform(*LIMITED))
            finally:
                client.execute_command("REPLICAOF", "NO", "ONE")

    def fill_redis(self) -> None:
        self._configured("maxmemory", "1mb", "0")

    def refuse_large(self) -> None:
        self._configured("proto-max-bulk-len", str(MB), str(512 * MB))

    def send_no_large(self) -> None:
        self._configured("client-output-buffer-limit", "normal 1mb 1mb 1", "normal 0 0 0")

    def storm(self) -> None:
        """Many jobs that are due at once."""
        due = time.time() + 1.0
        jobs = {payload(next(self.numbers)): due for _ in range(STORM)}
        with self.server.client() as client:
            while True:
                with contextlib.suppress(redis.RedisError):
                    client.zadd("schedule", dict(jobs))
                    return
                time.sleep(0.1)

    def stick_log(self) -> None:
        reader = self.posts[PIPED].reader
        assert reader
        reader.send_signal(signal.SIGSTOP)
        time.sleep(self.rng.uniform(*STUCK))
        reader.send_signal(signal.SIGCONT)

    def _configured(self, name: str, value: str, before: str) -> None:
        with self.server.client() as client:
            client.config_set(name, value)
            try:
                time.sleep(self.rng.uniform(*LIMITED))
            finally:
                client.config_set(name, before)


def run(minutes: float, seed: int) -> bool:
    """Whether nothing was lost and nothing left behind."""
    say(f"seed {seed}, {minutes:g} minutes")
    server = Server(aof=True).start()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as after:
        after.callback(server.stop)
        soak = Soak(Path(folder), server, seed)
        after.callback(soak.fleet.close)
        after.callback(soak.proxy.close)
        pusher = Pusher(server.client, soak.jobs(), 1 / RATE)
        soak.misbehave(time.monotonic() + minutes * 60)
        pusher.stop()
        return settled(soak, pusher)


def settled(soak: Soak, pusher: Pusher) -> bool:
    """Let the fleet finish, stop it, and count."""
    until = time.monotonic() + PATIENCE
    with soak.server.client() as client:
        empty = 0
        while empty < 3 and time.monotonic() < until:  # a job on its way from one place to the next can be missed once
            soak.replace_dead()  # a poison pill may have killed one more
            hurry(client)
            empty = 0 if left(client) else empty + 1
            time.sleep(0.3)
        codes = [worker.ready(RUNNING[post]).stop(60) for post, worker in enumerate(soak.posts)]
        behind = in_flight(client)
        report = account(client, soak.fleet.ledger, next(soak.numbers))
    say("| what happened | times |\n| --- | --- |")
    for deed, times in sorted({**soak.deeds, "push repeated": pusher.repeated}.items()):
        say(f"| {deed} | {times:,} |")
    say(
        f"{report}; {len(soak.fleet.workers)} workers started; exit codes at the end {codes}; in flight after: {behind}"
    )
    if report.lost:
        say(f"lost: {report.lost[:50]}")
    return not report.lost and not behind and codes == [0] * len(codes)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description="everything at random")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    given = parser.parse_args()
    return 0 if run(given.minutes, given.seed) else 1


if __name__ == "__main__":
    sys.exit(main())

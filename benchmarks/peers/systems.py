"""The systems: how each is installed, how its worker is started, how jobs are pushed to it.

Python's other systems run in environments of their own, with their own client; pykiq and Sidekiq get the bytes that
Sidekiq 8 writes. All with ten jobs at a time and otherwise as they come; nobody keeps results.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.machine import Bench
from benchmarks.payload import JID, fill, of_size, written
from benchmarks.processes import BenchmarkError, Worker
from benchmarks.systems import CONCURRENCY
from benchmarks.systems import System as Sidekiqs

APPS = Path(__file__).parent / "apps"
VENVS = Path(".venv-bench") / "peers"


class System(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def noops(self) -> int: ...
    def worker(self, bench: Bench) -> Worker:
        """A worker on its way; it writes to `bench.stamps`."""
        ...

    def push(self, bench: Bench, kind: str, count: int) -> None:
        """Push `count` jobs: no-ops between two marks, stamps with pauses in between, or slow ones."""
        ...


@dataclass(frozen=True)
class Peer:
    """One of Python's other job systems. `noops` is how many of them keep it busy for some seconds."""

    name: str
    packages: tuple[str, ...]
    command: tuple[str, ...]  # of a worker; the first is a program of its environment
    noops: int
    app: str

    @property
    def version(self) -> str:
        done = self._run("-c", f"import importlib.metadata as m; print(m.version({self.packages[0].split('[')[0]!r}))")
        return done.strip()

    def install(self) -> None:
        """Make its environment, once. Raises BenchmarkError."""
        done = self._bin / ".installed"
        if done.exists():
            return
        subprocess.run([sys.executable, "-m", "venv", str(self._bin.parent)], check=True)
        try:
            self._run("-m", "pip", "install", "--quiet", *self.packages)
        except BenchmarkError as error:
            raise BenchmarkError(f"{self.name} cannot be installed: {error}") from None
        done.touch()

    def worker(self, bench: Bench) -> Worker:
        command = [str(self._bin / self.command[0]), *self.command[1:]]
        return Worker([command], self._env(bench), bench.stamps.parent / f"{self.name}.log", APPS)

    def push(self, bench: Bench, kind: str, count: int) -> None:
        self._run(f"{APPS / self.app}.py", kind, str(count), env=self._env(bench))

    @property
    def _bin(self) -> Path:
        return (VENVS / self.name / "bin").absolute()

    def _env(self, bench: Bench) -> dict[str, str]:
        return {"REDIS_URL": bench.url, "STAMPS": str(bench.stamps), "PYTHONPATH": str(APPS)}

    def _run(self, *args: str, env: dict[str, str] | None = None) -> str:
        command = [str(self._bin / "python"), *args]
        done = subprocess.run(
            command, env={**os.environ, **(env or {})}, cwd=APPS, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BenchmarkError(f"{self.name}: {args[0]} ended with {done.returncode}: {done.stderr[-1500:]}")
        return done.stdout


@dataclass(frozen=True)
class OnSidekiqsFormat:
    """pykiq or Sidekiq."""

    system: Sidekiqs
    noops: int

    @property
    def name(self) -> str:
        return self.system.name

    @property
    def version(self) -> str:
        return self.system.version

    def worker(self, bench: Bench) -> Worker:
        return bench.worker(self.system)

    def push(self, bench: Bench, kind: str, count: int) -> None:
        if kind == "noop":
            fill(bench.redis, written("Bench::Mark", [0]), 1)
            fill(bench.redis, of_size("Bench::Noop", 200), count, 1)
            fill(bench.redis, written("Bench::Mark", [1]), 1, count + 1)
        for number in range(count if kind == "stamp" else 0):
            job = written("Bench::Stamp", [time.time()]).replace(JID, f"{number:024x}")
            bench.redis.lpush("queue:default", job)
            time.sleep(0.01 + number % 5 * 0.005)
        for number in range(count if kind == "slow" else 0):
            fill(bench.redis, written("Bench::Slow", [number]), 1, number)  # the same jid again is a poison pill


SLOTS = str(CONCURRENCY)
PEERS = (
    Peer(
        "Celery",
        ("celery[redis]",),
        ("celery", "-A", "celery_app", "worker", "-c", SLOTS, "-l", "warning"),
        6000,
        "celery_app",
    ),
    Peer(
        "Dramatiq",
        ("dramatiq[redis]",),
        ("dramatiq", "dramatiq_app", "--processes", "1", "--threads", SLOTS),
        6000,
        "dramatiq_app",
    ),
    Peer("RQ", ("rq",), ("rq", "worker-pool", "-n", SLOTS, "-q"), 300, "rq_app"),
    Peer(
        "Taskiq",
        ("taskiq", "taskiq-redis"),
        (
            *("taskiq", "worker", "taskiq_app:broker", "--workers", "1"),
            *("--max-async-tasks", SLOTS, "--log-level", "WARNING"),
        ),
        6000,
        "taskiq_app",
    ),
    Peer("arq", ("arq",), ("arq", "arq_app.WorkerSettings"), 3000, "arq_app"),
    # typing_extensions: SAQ imports it without saying that it needs it
    Peer("SAQ", ("saq[redis]", "typing_extensions"), ("saq", "--quiet", "saq_app.settings"), 6000, "saq_app"),
    Peer("Huey", ("huey", "redis"), ("huey_consumer", "huey_app.huey", "-w", SLOTS, "-q"), 6000, "huey_app"),
)

"""What is compared: pykiq, the same of another checkout, real Sidekiq, and the plainest worker that Python allows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.processes import BenchmarkError
from tests.interop import ruby as rubies

HERE = Path(__file__).parent
PYTHON_SIDE = HERE / "python_side"
CONCURRENCY = 10


@dataclass(frozen=True)
class Setup:
    """How a worker is started."""

    queues: Sequence[str] = ("default",)  # "name", or "name,weight"
    log: str = "warning"  # or `json`: two lines a job
    processes: int = 1  # of one worker: `--processes` here, as many of Sidekiq there
    fleet: int = 1  # so many workers, each with a start of its own
    extras: Sequence[str] = ()  # what the handlers' file sets up besides: `middleware`, `activejob`, `listener`


def names(queues: Sequence[str]) -> list[str]:
    """The queues without their weights."""
    return [queue.partition(",")[0] for queue in queues]


def weight(queue: str) -> int:
    return int(queue.partition(",")[2] or 1)


Start = tuple[list[list[str]], dict[str, str]]  # command lines and environment


class System(Protocol):
    """How a worker and a client are started."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def folder(self) -> Path | None:
        """Where its worker is started."""
        ...

    def worker(self, setup: Setup, stamps: Path) -> Start:
        """A worker; its handlers write to the file `stamps`."""
        ...

    def client(self, kind: str, count: int) -> tuple[list[str], dict[str, str]]:
        """A program that pushes `count` jobs and prints its times as JSON."""
        ...


@dataclass(frozen=True)
class Pykiq:
    """The pykiq of the checkout `folder`, with the handlers of this one."""

    url: str
    version: str
    folder: Path = HERE.parent
    name: str = "pykiq"
    python: str = sys.executable

    def worker(self, setup: Setup, stamps: Path) -> Start:
        flags = [flag for queue in setup.queues for flag in ("-q", queue)]
        # Metrics are served, as in production: Sidekiq's own job metrics are on by default too.
        flags += ["-c", str(CONCURRENCY), "-e", "production", "--metrics-port", "0", "--log-format", "json"]
        flags += ["--processes", str(setup.processes)] if setup.processes > 1 else []
        command = [self.python, "-m", "pykiq", "run", "--require", str(PYTHON_SIDE / "handlers.py"), *flags]
        level = "info" if setup.log == "json" else "warning"
        env = {"PYKIQ_LOG_LEVEL": level, "STAMPS": str(stamps), "EXTRAS": " ".join(setup.extras)}
        return [command] * setup.fleet, self._env() | env

    def client(self, kind: str, count: int) -> tuple[list[str], dict[str, str]]:
        return [self.python, str(PYTHON_SIDE / "client.py"), kind, str(count)], self._env()

    def _env(self) -> dict[str, str]:
        return {"REDIS_URL": self.url, "PYTHONPATH": str(self.folder)}

    def check(self) -> None:
        """Raise BenchmarkError when another pykiq than that of the folder would run."""
        asked = [self.python, "-c", "import pykiq; print(pykiq.__file__)"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False, env=self._env(), cwd=self.folder)
        if not done.stdout.startswith(f"{self.folder}/"):
            raise BenchmarkError(f"{self.folder} holds no pykiq: {done.stdout or done.stderr[-500:]}")


@dataclass(frozen=True)
class Sidekiq:
    url: str
    home: rubies.Home
    version: str
    name: str = "Sidekiq"
    folder: Path | None = None

    def worker(self, setup: Setup, stamps: Path) -> Start:
        flags = [flag for queue in setup.queues for flag in ("-q", queue)]
        flags += ["-c", str(CONCURRENCY), "-e", "production", "-r", f"{self.home.path}/jobs.rb"]
        env = {"LOG": setup.log, "STAMPS": f"{self.home.path}/{stamps.name}", "EXTRAS": " ".join(setup.extras)}
        command = self.home.ruby.command("sidekiq", *flags, env={"REDIS_URL": self.url, **env, **rubies.UTF8})
        return [command] * (setup.processes * setup.fleet), {}

    def client(self, kind: str, count: int) -> tuple[list[str], dict[str, str]]:
        env = {"REDIS_URL": self.url, **rubies.UTF8}
        return self.home.ruby.command("ruby", f"{self.home.path}/client.rb", kind, str(count), env=env), {}


@dataclass(frozen=True)
class Floor:
    """floor.py: `floor` is one thread whose handlers only note the time, `threads` ten that do what jobs ask for."""

    url: str
    name: str = "floor"
    version: str = "of this checkout"
    folder: Path | None = None

    def worker(self, setup: Setup, stamps: Path) -> Start:
        threads = "1" if self.name == "floor" else str(CONCURRENCY)
        command = [sys.executable, str(HERE / "floor.py"), self.url, threads, *setup.queues]
        return [command] * (setup.processes * setup.fleet), {"STAMPS": str(stamps)}

    def client(self, kind: str, count: int) -> tuple[list[str], dict[str, str]]:
        raise BenchmarkError(f"{self.name} pushes nothing: {kind} {count}")


def ruby_version(ruby: rubies.Ruby) -> str:
    """Sidekiq's version, Ruby's, and whether Ruby compiles."""
    asked = ruby.run('print RUBY_VERSION, defined?(RubyVM::YJIT) ? " with YJIT there, off by itself" : " without YJIT"')
    return f"{ruby.version} on Ruby {asked.stdout.strip()}"

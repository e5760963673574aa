"""The Redis server, the two systems, and their processes."""

from __future__ import annotations

import compileall
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pykiq.version import __version__
from tests.interop import ruby as rubies
from tests.servers import Server

HERE = Path(__file__).parent
CONCURRENCY = 10
TICKS = os.sysconf("SC_CLK_TCK")  # per second of CPU in /proc/PID/stat


class BenchmarkError(Exception):
    """Something is not here, or did not do what it should have: one line."""


class System(Protocol):
    """pykiq or Sidekiq: how its worker and its client are started."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    def worker(
        self, queues: Sequence[str], log: str, stamps: Path, processes: int
    ) -> tuple[list[list[str]], dict[str, str]]:
        """Command lines and environment of a worker; `log` is `warning` or `json`, `stamps` a file in the folder."""
        ...

    def client(self, kind: str, count: int) -> tuple[list[str], dict[str, str]]:
        """Command line and environment of a program that pushes `count` jobs and prints its times as JSON."""
        ...


@dataclass(frozen=True)
class Pykiq:
    url: str
    name: str = "pykiq"
    version: str = __version__

    def worker(
        self, queues: Sequence[str], log: str, stamps: Path, processes: int
    ) -> tuple[list[list[str]], dict[str, str]]:
        flags = [flag for queue in queues for flag in ("-q", queue)]
        # Metrics are served, as in production: Sidekiq's own job metrics are on by default too.
        flags += ["-c", str(CONCURRENCY), "-e", "production", "--metrics-port", "0", "--log-format", "json"]
        flags += ["--processes", str(processes)] if processes > 1 else []
        level = "info" if log == "json" else "warning"
        command = [sys.executable, "-m", "pykiq", "run", "--require", "benchmarks.handlers", *flags]
        return [command], {"REDIS_URL": self.url, "PYKIQ_LOG_LEVEL": level, "STAMPS": str(stamps)}

    def client(self, kind: str, count: int) -> tuple[list[str], dict[str, str]]:
        return [sys.executable, "-m", "benchmarks.client", kind, str(count)], {"REDIS_URL": self.url}


@dataclass(frozen=True)
class Sidekiq:
    url: str
    home: rubies.Home
    name: str = "Sidekiq"

    @property
    def version(self) -> str:
        return self.home.ruby.version

    def worker(
        self, queues: Sequence[str], log: str, stamps: Path, processes: int
    ) -> tuple[list[list[str]], dict[str, str]]:
        flags = [flag for queue in queues for flag in ("-q", queue)]
        flags += ["-c", str(CONCURRENCY), "-e", "production", "-r", f"{self.home.path}/jobs.rb"]
        env = {"REDIS_URL": self.url, "LOG": log, "STAMPS": f"{self.home.path}/{stamps.name}", **rubies.UTF8}
        return [self.home.ruby.command("sidekiq", *flags, env=env)] * processes, {}

    def client(self, kind: str, count: int) -> tuple[list[str], dict[str, str]]:
        env = {"REDIS_URL": self.url, **rubies.UTF8}
        return self.home.ruby.command("ruby", f"{self.home.path}/client.rb", kind, str(count), env=env), {}


class Worker:
    """A running worker of one process or several; killed when its `with` block ends: whatever it had to do is done."""

    def __init__(
        self, commands: Sequence[Sequence[str]], env: Mapping[str, str], output: Path, folder: Path | None = None
    ) -> None:
        self._output = output
        with output.open("ab") as stream:
            self._processes = [
                subprocess.Popen(
                    command,
                    stdout=stream,
                    stderr=stream,
                    stdin=subprocess.DEVNULL,
                    env={**os.environ, **env},
                    cwd=folder,
                    start_new_session=True,
                )
                for command in commands
            ]

    def wait(self, condition: Callable[[], object], seconds: float, what: str, pause: float = 0.003) -> None:
        """Wait for `condition()`. Raises BenchmarkError when the worker ends or `seconds` have passed."""
        deadline = time.monotonic() + seconds
        while not condition():
            ended = [process.returncode for process in self._processes if process.poll() is not None]
            if ended:
                raise BenchmarkError(f"the worker ended with {ended[0]}: {self._last_words()}")
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{what}: not within {seconds} s; {self._last_words()}")
            time.sleep(pause)

    def _last_words(self) -> str:
        return self._output.read_text(errors="replace")[-2000:] if self._output.is_file() else "it logs nowhere"

    def rss(self) -> float:
        """Resident memory now, in MB."""
        return sum(resident(pid) for process in self._processes for pid in family(process.pid))

    def cpu(self) -> float:
        """CPU seconds used so far."""
        return sum(cpu_seconds(pid) for process in self._processes for pid in family(process.pid))

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        members = [pid for process in self._processes for pid in family(process.pid)]
        for process in self._processes:
            os.killpg(process.pid, signal.SIGKILL)
        for process in self._processes:
            process.wait()
        while any(Path(f"/proc/{pid}").exists() for pid in members):  # a child's connection may still take a job
            time.sleep(0.01)


def family(pid: int) -> Iterator[int]:
    """A process and its children, and theirs."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from family(int(child))


def resident(pid: int) -> float:
    """Resident memory of a process, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Bench:
    """One Redis, the systems on it, and a folder that all of them reach."""

    def __init__(self, server: Server, systems: tuple[System, ...], folder: Path) -> None:
        assert server.process is not None
        self.redis = server.client()
        self.url = server.url
        self.redis_pid = server.process.pid
        self.systems = systems
        self._folder = folder

    def empty(self) -> None:
        """Drop all data, and let Redis finish freeing its memory."""
        self.redis.flushall()

    def worker(
        self, system: System, *, queues: Sequence[str] = ("default",), log: str = "warning", processes: int = 1
    ) -> Worker:
        """Start a worker; it is on its way, not ready."""
        commands, env = system.worker(queues, log, self.stamps, processes)
        output = Path(os.devnull) if log == "json" else self._folder / f"{system.name}.log"
        return Worker(commands, env, output)

    def push(self, system: System, kind: str, count: int) -> dict[str, float]:
        """Run the system's client: `seconds` and `cpu` seconds of pushing `count` jobs."""
        command, env = system.client(kind, count)
        done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchmarkError(f"{system.name}'s client ended with {done.returncode}: {done.stderr[-2000:]}")
        took: dict[str, float] = json.loads(done.stdout.splitlines()[-1])  # Sidekiq says before that it connects
        return took

    @property
    def stamps(self) -> Path:
        """The file where `Bench::Stamp` writes."""
        return self._folder / "stamps"


@contextlib.contextmanager
def alone() -> Iterator[tuple[Bench, Pykiq]]:
    """pykiq without anybody to compare it with, on whatever server the tests use."""
    server = Server()
    with tempfile.TemporaryDirectory() as folder:
        try:
            ours = Pykiq(server.start().url)
            yield Bench(server, (ours,), Path(folder)), ours
        finally:
            server.stop()


@contextlib.contextmanager
def machine() -> Iterator[Bench]:
    """A Redis on a free port, and the newest Sidekiq there is. Raises BenchmarkError."""
    program = shutil.which("redis-server")
    found = rubies.available()
    if program is None or not found:
        lacks = "redis-server" if program is None else "Ruby with Sidekiq"
        raise BenchmarkError(f"no {lacks} is here; `make ruby` installs Redis and Sidekiq on Debian")
    newest = max(found, key=lambda ruby: ruby.major)
    # What pip does for everybody who installs pykiq, but not for a checkout. A worker that compiles at its start is a
    # fifth of a megabyte larger.
    compileall.compile_dir(HERE.parent / "pykiq", quiet=1)
    home = newest.place(HERE / "ruby_side")
    server = Server(program)
    try:
        yield Bench(server.start(), (Pykiq(server.url), Sidekiq(server.url, home)), home.outside)
    finally:
        server.stop()
        home.remove()


def surroundings(bench: Bench) -> dict[str, object]:
    """What the figures depend on besides the code."""
    info = Path("/proc/cpuinfo").read_text()
    model = info.partition("model name")[2].partition("\n")[0].strip("\t: ")
    server: Mapping[str, str] = bench.redis.info("server")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "cores": os.cpu_count(),
        "cpu": model,
        "load": round(os.getloadavg()[0], 2),
        "python": sys.version.split()[0],
        "redis": server["redis_version"],
        "commit": commit.stdout.strip(),
        **{system.name: system.version for system in bench.systems},
        "concurrency": CONCURRENCY,
    }

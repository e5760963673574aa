"""The Redis server, the folder that all systems reach, and the systems that are there."""

from __future__ import annotations

import compileall
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.checkout import checked_out, commit
from benchmarks.processes import BenchmarkError, Worker
from benchmarks.systems import CONCURRENCY, HERE, Floor, Pykiq, Setup, Sidekiq, System, ruby_version
from pykiq.version import __version__
from tests.interop import ruby as rubies
from tests.servers import Server

SIDEKIQ = "8.1.7"  # the one that figures are compared with
NAMES = ("pykiq", "base", "Sidekiq", "floor", "threads")


class Bench:
    """One Redis, the systems on it, and a folder that all of them reach."""

    def __init__(self, server: Server, systems: tuple[System, ...], folder: Path) -> None:
        assert server.process is not None
        self.redis = server.client()
        self.url = server.url
        self.port = server.port
        self.redis_pid = server.process.pid
        self.systems = systems
        self._folder = folder

    def empty(self) -> None:
        """Drop all data, and let Redis finish freeing its memory."""
        self.redis.flushall()
        self.stamps.write_text("")

    def worker(self, system: System, setup: Setup | None = None) -> Worker:
        """Start a worker; it is on its way, not ready."""
        setup = setup or Setup()
        commands, env = system.worker(setup, self.stamps)
        output = Path(os.devnull) if setup.log == "json" else self._folder / f"{system.name}.log"
        return Worker(commands, env, output, system.folder)

    def push(self, system: System, kind: str, count: int) -> dict[str, float]:
        """Run the system's client: `seconds` and `cpu` seconds of pushing `count` jobs."""
        command, env = system.client(kind, count)
        done = subprocess.run(
            command, env={**os.environ, **env}, capture_output=True, text=True, check=False, cwd=system.folder
        )
        if done.returncode:
            raise BenchmarkError(f"{system.name}'s client ended with {done.returncode}: {done.stderr[-2000:]}")
        took: dict[str, float] = json.loads(done.stdout.splitlines()[-1])  # Sidekiq says before that it connects
        return took

    @property
    def stamps(self) -> Path:
        """The file where handlers write."""
        return self._folder / "stamps"


@contextlib.contextmanager
def alone() -> Iterator[tuple[Bench, Pykiq]]:
    """pykiq without anybody to compare it with, on whatever server the tests use."""
    server = Server()
    with tempfile.TemporaryDirectory() as folder:
        try:
            ours = Pykiq(server.start().url, __version__)
            yield Bench(server, (ours,), Path(folder)), ours
        finally:
            server.stop()


@contextlib.contextmanager
def machine(
    names: Sequence[str] = ("pykiq", "Sidekiq"),
    base: str | None = None,
    python: str = sys.executable,
    sidekiq: str = SIDEKIQ,
) -> Iterator[Bench]:
    """A Redis on a free port, and the systems of these names, of `NAMES`.

    `base` is the folder of another checkout, or a revision of this one; `python` runs it. Raises BenchmarkError when
    something is not here: above all when there is no Sidekiq of exactly this version.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise BenchmarkError("no redis-server is here; `make ruby` installs Redis and Sidekiq on Debian")
    with contextlib.ExitStack() as stack:
        server = Server(program)
        stack.callback(server.stop)
        url, folder, systems = server.start().url, None, list[System]()
        for name in names:
            if name == "pykiq":
                systems.append(_pykiq(Pykiq(url, f"{__version__} ({commit(HERE.parent)})")))
            elif name == "base":
                there = stack.enter_context(checked_out(base or ""))
                systems.append(_pykiq(Pykiq(url, commit(there, base), there, "base", python)))
            elif name == "Sidekiq":
                home = _sidekiq(sidekiq).place(HERE / "ruby_side")
                stack.callback(home.remove)
                folder = home.outside
                systems.append(Sidekiq(url, home, ruby_version(home.ruby)))
            else:
                systems.append(Floor(url, name))
        folder = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        yield Bench(server, tuple(systems), folder)


def _pykiq(system: Pykiq) -> Pykiq:
    system.check()
    # What pip does for everybody who installs pykiq, but not for a checkout. A worker that compiles at its start is a
    # fifth of a megabyte larger.
    compileall.compile_dir(system.folder / "pykiq", quiet=1)
    return system


def _sidekiq(version: str) -> rubies.Ruby:
    found = rubies.available()
    for ruby in found:
        if ruby.version == version:
            return ruby
    there = ", ".join(ruby.version for ruby in found) or "none"
    raise BenchmarkError(
        f"no Sidekiq {version} is here, but {there}; `make ruby` installs it on Debian, `--sidekiq VERSION` compares "
        "with another, `--systems pykiq` with nobody"
    )


def surroundings(bench: Bench) -> dict[str, object]:
    """What the figures depend on besides the code."""
    info = Path("/proc/cpuinfo").read_text()
    model = info.partition("model name")[2].partition("\n")[0].strip("\t: ")
    server: Mapping[str, str] = bench.redis.info("server")
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "cores": os.cpu_count(),
        "cpu": model,
        "load": round(os.getloadavg()[0], 2),
        "python": sys.version.split()[0],
        "redis": server["redis_version"],
        "commit": commit(HERE.parent),
        **{system.name: system.version for system in bench.systems},
        "concurrency": CONCURRENCY,
    }

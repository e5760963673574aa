"""The real Rubies of this machine: the host's own, and the roots that `install.sh` unpacked.

A `Ruby` runs the files of `ruby_side/`: `console` answers questions, `server` is a real `sidekiq` process.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import redis

from tests.servers import missing, wait_until

RUBY_SIDE = Path(__file__).parent / "ruby_side"
RELEASES = ("bookworm", "trixie", "forky")
ASK_VERSION = 'require "sidekiq"; print Sidekiq::VERSION'


@dataclass(frozen=True)
class Ruby:
    """One Ruby with Sidekiq. `root` is the folder to chroot into, None for the host's own."""

    version: str
    root: Path | None = None

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])

    def command(
        self, program: str, *arguments: str, env: Mapping[str, str] | None = None, folder: str = ""
    ) -> list[str]:
        """The command line that runs `program` there in `folder`; the process it starts is the program itself."""
        return [
            *_enter(self.root),
            *("env", *(("-C", folder) if folder else ())),
            *(f"{name}={value}" for name, value in (env or {}).items()),
            program,
            *arguments,
        ]

    def run(
        self, script: str, *arguments: str, env: Mapping[str, str] | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a script given as text, to its end."""
        return subprocess.run(
            self.command("ruby", "-", *arguments, env=env),
            input=script,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def place(self, folder: Path = RUBY_SIDE, at: str = "") -> Home:
        """Copy a folder of Ruby files to where this Ruby sees it: a new folder in its /tmp, or the path `at`."""
        top = self.root or Path("/")
        if at:
            inside = top / at.lstrip("/")
            inside.mkdir(parents=True)
        else:
            inside = Path(tempfile.mkdtemp(prefix="pykiq-interop-", dir=top / "tmp"))
        inside.chmod(0o755)
        shutil.copytree(folder, inside, dirs_exist_ok=True)
        seen = inside if self.root is None else Path("/") / inside.relative_to(self.root)
        return Home(ruby=self, outside=inside, path=str(seen))


@dataclass(frozen=True)
class Home:
    """A folder of Ruby files: `outside` is its path for us, `path` its path for Ruby."""

    ruby: Ruby
    outside: Path
    path: str

    def console(self, redis_url: str) -> Console:
        return Console(self, redis_url)

    def server(self, redis_url: str, *flags: str, env: Mapping[str, str] | None = None) -> RubyServer:
        """A `sidekiq` process with the job classes of `jobs.rb`; returns when its first heartbeat is in Redis."""
        return RubyServer(self, redis_url, flags, env or {})

    def remove(self) -> None:
        shutil.rmtree(self.outside, ignore_errors=True)
        if self.ruby.root is not None:
            _forget_the_killed(self.ruby.root / "proc")


class RubyError(Exception):
    """An exception of the Ruby side, with its class, message and first lines."""


class Console:
    """A Ruby that stays up and evaluates what it is asked: one boot for many questions."""

    def __init__(self, home: Home, redis_url: str) -> None:
        self.log = (home.outside / "console.log").open("ab")
        self.process = subprocess.Popen(
            home.ruby.command("ruby", f"{home.path}/console.rb", env={"REDIS_URL": redis_url, **UTF8}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
        )

    def __call__(self, code: str, **given: Any) -> Any:
        """Evaluate Ruby `code` with the local variables `given`; its value comes back through JSON."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"code": code, "given": given}).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RubyError(f"the console died: {Path(self.log.name).read_text(errors='replace')[-2000:]}")
        answer = json.loads(line)
        if "error" in answer:
            raise RubyError(answer["error"])
        return answer["value"]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.log):
            if stream is not None:
                stream.close()


class Program:
    """A long-running process of the fleet with its log, stopped at the latest when its `with` block ends."""

    def __init__(self, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.log = log
        stream: BinaryIO
        with log.open("ab") as stream:
            self.process = subprocess.Popen(command, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL, env=env)
        self.identity = ""

    def wait_for_heartbeat(self, client: redis.Redis, seconds: float = 20) -> None:
        """Wait until `processes` names this process; its identity is `host:pid:random`."""

        def beats() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"it ended with {self.process.returncode} at start: {self.text()[-3000:]}")
            for member in client.smembers("processes"):
                identity = member.decode()
                if identity.split(":")[-2] == str(self.process.pid) and client.hexists(identity, "info"):
                    self.identity = identity
            return bool(self.identity)

        wait_until(beats, seconds, f"a heartbeat of {self.process.args}")

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, seconds: float = 20) -> int:
        """TERM, and the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """End it now, as a crash does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()


class RubyServer(Program):
    """A real `sidekiq` process."""

    def __init__(self, home: Home, redis_url: str, flags: Sequence[str], env: Mapping[str, str]) -> None:
        command = home.ruby.command(
            "sidekiq",
            *("-r", f"{home.path}/jobs.rb", *flags),
            env={"REDIS_URL": redis_url, "POLL": "0.3", **UTF8, **env},
        )
        super().__init__(command, home.outside / "sidekiq.log")
        with redis.Redis.from_url(redis_url, protocol=2) as client:
            self.wait_for_heartbeat(client)


UTF8 = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


def _enter(root: Path | None) -> list[str]:
    if root is None:
        return []
    return ["chroot", str(root)] if os.geteuid() == 0 else ["sudo", "-n", "chroot", str(root)]


def _forget_the_killed(proc: Path) -> None:
    """Remove the /proc/<pid>/status files of Ruby processes in a root without /proc that were killed."""
    if os.path.ismount(proc):
        return
    for left in proc.glob("[0-9]*"):
        if not Path("/proc", left.name).exists():
            shutil.rmtree(left, ignore_errors=True)


def cache() -> Path:
    """Where `install.sh` puts what it fetches."""
    return Path(os.environ.get("PYKIQ_INTEROP_CACHE") or Path.home() / ".cache" / "pykiq-interop")


@functools.cache
def available() -> tuple[Ruby, ...]:
    """Every Ruby on this machine that can load Sidekiq, the host's own first."""
    roots = [None, *(cache() / release for release in RELEASES)]
    return tuple(ruby for root in roots if (ruby := _probe(root)))


def find(major: int) -> Ruby:
    """The Ruby with Sidekiq `major`.x; without one the test is skipped, in CI it fails."""
    for ruby in available():
        if ruby.major == major:
            return ruby
    missing(f"no Ruby with Sidekiq {major}.x is here; tests/interop/install.sh fetches it on Debian")
    raise AssertionError("missing() has ended the test")


def _probe(root: Path | None) -> Ruby | None:
    if root is not None and not (root / "usr/bin/ruby").exists():
        return None
    try:
        asked = subprocess.run(
            [*_enter(root), "ruby", "-e", ASK_VERSION], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Ruby(asked.stdout.strip(), root) if asked.returncode == 0 else None

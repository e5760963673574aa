"""Telling systemd that this service is ready, stopping, and alive: the protocol of sd_notify, one datagram each.

Nothing is sent unless systemd asks for it, by NOTIFY_SOCKET (`Type=notify`) and WATCHDOG_USEC (`WatchdogSec=`).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping


class Systemd:
    """The service manager as `environ` describes it. Nothing here raises: a worker runs without it, too."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._period = _period(environ)
        self._beat_at = 0.0  # monotonic
        self._said: set[str] = set()

    def ready(self) -> None:
        """Jobs are taken. Told once."""
        self._once("READY=1")

    def stopping(self) -> None:
        """The stop has begun. Told once."""
        self._once("STOPPING=1")

    def beat(self, alive: Callable[[], bool]) -> None:
        """Call often: tells the watchdog in time, as long as `alive` says so."""
        if self._period is None or time.monotonic() < self._beat_at or not alive():
            return
        self._beat_at = time.monotonic() + self._period
        self._send("WATCHDOG=1")

    def _once(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            self._send(message)

    def _send(self, message: str) -> None:
        if not self._address:
            return
        # A leading @ is an abstract address, which begins with a zero byte.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sending:
                sending.settimeout(1.0)
                sending.sendto(message.encode(), address)
        except OSError:
            return


def _period(environ: Mapping[str, str]) -> float | None:
    """Seconds between two signs of life: half of what systemd waits for. None when it waits for none of ours."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    pid = environ.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or int(microseconds) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(microseconds) / 2_000_000

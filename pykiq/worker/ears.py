"""Ears: the signals of a process that does nothing but wait, one by one, in its own time and without threads."""

from __future__ import annotations

import signal
import socket

from pykiq.worker import signals
from pykiq.worker.descriptors import readable

HEARD = (*signals.NUMBERS, signal.SIGCHLD)


class Ears:
    """Hears the four signals of a worker, and that a child has ended. Main thread only."""

    def __init__(self) -> None:
        self._heard, self._speaker = socket.socketpair()
        self._heard.setblocking(False)
        self._speaker.setblocking(False)
        signal.set_wakeup_fd(self._speaker.fileno(), warn_on_full_buffer=False)
        for number in HEARD:
            if signals.is_obeyed(number):
                signal.signal(number, lambda _number, _frame: None)  # the number comes through the socket

    def wait(self, seconds: float) -> bytes:
        """The numbers of the signals that have come, after waiting up to `seconds` for the first one."""
        readable([self._heard.fileno()], seconds)
        try:
            return self._heard.recv(4096)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """Hear no more; in a process just forked these would be its parent's ears."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._heard.close()
        self._speaker.close()

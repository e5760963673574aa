"""The terminal while something draws on it: its other screen, keys one by one, and everything as it was afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pykiq.errors import ConfigError
from pykiq.worker.descriptors import readable

RESIZED = "resized"  # instead of a key: what is drawn does not fit any more, or has been overwritten
_OTHER, _OWN = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


def draw(lines: list[str]) -> None:
    """Draw over what was drawn before. That stands until it is overwritten, so nothing flickers."""
    sys.stdout.write(_HOME + "\r\n".join(line + _CLEAR_LINE for line in lines) + _CLEAR_BELOW)
    sys.stdout.flush()


def size() -> os.terminal_size:
    """What the terminal has now. Not what LINES and COLUMNS say: whoever has exported them did so before a resize."""
    try:
        return os.get_terminal_size(sys.stdout.fileno())
    except OSError:  # it has gone
        return shutil.get_terminal_size()


@contextmanager
def screen() -> Iterator[Callable[[float], str]]:
    """The other screen; `key_within(seconds)` waits for a key and returns it, RESIZED, or nothing.

    Whatever ends the block, TERM and a terminal that is closed too, the terminal is as it was. Ctrl-Z gives it back
    to the shell until the job is in the foreground again. Raises ConfigError where terminals are not POSIX's.
    """
    try:
        import termios
        import tty
    except ImportError:
        raise ConfigError("top draws on terminals of POSIX systems; expected --once, or `pykiq stats --json`") from None
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    told, tells = socket.socketpair()  # which signals came: Python's select would go on waiting after them
    told.setblocking(False)
    tells.setblocking(False)

    def enter() -> None:
        tty.setcbreak(keyboard)
        sys.stdout.write(_OTHER)
        sys.stdout.flush()

    def leave() -> None:
        with suppress(OSError, termios.error):  # it may be closed
            sys.stdout.write(_OWN)
            sys.stdout.flush()
            termios.tcsetattr(keyboard, termios.TCSADRAIN, before)

    def pause(_number: int, _frame: Any) -> None:
        leave()
        os.kill(os.getpid(), signal.SIGSTOP)
        enter()

    def end(number: int, _frame: Any) -> None:
        sys.exit(128 + number)

    def key_within(seconds: float) -> str:
        ready = readable([keyboard, told.fileno()], seconds)
        if told.fileno() in ready:
            told.recv(4096)
            return RESIZED
        if ready:
            return os.read(keyboard, 32).decode("utf-8", "replace")[:1] or "q"  # no bytes: the terminal has gone
        return ""

    handlers = {signal.SIGWINCH: lambda *_: None, signal.SIGTSTP: pause, signal.SIGTERM: end, signal.SIGHUP: end}
    others = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    other_wakeup = signal.set_wakeup_fd(tells.fileno(), warn_on_full_buffer=False)
    enter()
    try:
        yield key_within
    finally:
        leave()
        signal.set_wakeup_fd(other_wakeup)
        for number, handler in others.items():
            signal.signal(number, handler)
        told.close()
        tells.close()

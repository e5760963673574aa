"""A pseudo-terminal with `pykiq` in it: what it draws can be read, and keys can be pressed."""

from __future__ import annotations

import os
import pty
import select
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from fcntl import ioctl
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.cli.command import environment

_BEGIN, _END = "\x1b[H", "\x1b[J"  # of a frame


def _own_terminal() -> None:
    ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """`with Terminal("top", cwd=…) as terminal:`; `terminal.shown` grows while it is looked at."""

    def __init__(self, *arguments: str, cwd: Path, lines: int = 30, columns: int = 100) -> None:
        self._ours, theirs = pty.openpty()
        self.resize(lines, columns)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pykiq", *arguments],
            cwd=cwd,
            env=environment(TERM="xterm", LINES="24", COLUMNS="80"),  # as whatever uses readline exports them
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_own_terminal,  # for Ctrl-C and a new size to reach it as signals
        )
        os.close(theirs)
        self.shown = ""

    def resize(self, lines: int, columns: int) -> None:
        ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def modes(self) -> list[Any]:
        """How the terminal treats keys and lines."""
        return termios.tcgetattr(self._ours)

    def shows(self, text: str) -> bool:
        """Whether `text` has been drawn by now."""
        if select.select([self._ours], [], [], 0)[0]:
            with suppress(OSError):  # it has ended
                self.shown += os.read(self._ours, 65536).decode("utf-8", "replace")
        return text in self.shown

    def frame(self) -> list[str]:
        """The lines of the last frame that is drawn to its end."""
        self.shows("")
        return self.shown.rpartition(_END)[0].rpartition(_BEGIN)[2].split("\n")

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

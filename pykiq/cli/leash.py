"""A program that ends with another one, whatever ends that: run as a script by `pykiq dev`, with nothing but Python.

    python leash.py DESCRIPTOR PATIENCE FOLDER COMMAND…

Starts COMMAND and exits with its exit code. At the end of the pipe DESCRIPTOR, which comes when whoever holds its other
end closes it or is killed, COMMAND is told to stop, and killed after PATIENCE seconds. FOLDER is removed at the end,
unless it is empty. A pipe is told of a kill -9 on every system; the program itself need not know of it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType


class Leashed:
    """A program that runs for as long as this process lives, or until `end`.

    In a session of its own, so that Ctrl-C in ours does not reach it. `held` are further pipes that it keeps open as
    long as it runs.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        patience: float,
        folder: str = "",
        held: Sequence[int] = (),
        env: dict[str, str] | None = None,
        quiet: bool = False,
    ) -> None:
        reading, self._writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(Path(__file__)), str(reading), str(patience), folder, *command],
                env=env,
                pass_fds=(reading, *held),
                stdout=subprocess.DEVNULL if quiet else None,
                start_new_session=True,
            )
        finally:
            os.close(reading)
        self._patience = patience

    @property
    def pipe(self) -> int:
        """What whoever is to end before this one has to hold."""
        return self._writing

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.poll()

    def hurry(self) -> None:
        """Send it what a second Ctrl-C would, while it is being ended."""
        self._process.send_signal(signal.SIGINT)

    def end(self) -> int:
        """Stop it if it runs; its exit code."""
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1
        return self._process.wait()


def main(arguments: Sequence[str]) -> int:
    """Run the command; its exit code, as a shell tells it."""
    descriptor, patience, folder, *command = arguments
    child = subprocess.Popen(command)

    def end(_signal: int = 0, _frame: FrameType | None = None) -> None:
        child.terminate()

    def watch() -> None:
        os.read(int(descriptor), 1)
        end()
        try:
            child.wait(float(patience))
        except subprocess.TimeoutExpired:
            child.kill()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, lambda *_: child.send_signal(signal.SIGINT))
    threading.Thread(target=watch, daemon=True).start()
    code = child.wait()
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Signals: what the operating system and the dashboard may tell a worker, and the dump of what it is doing.

TSTP             quiet: take no more jobs, finish what runs; the process stays until TERM
TERM, INT, HUP   stop: quiet, give running jobs the time-out, put the rest back, exit; a second INT from a terminal ends
                 that time-out
TTIN             every thread's and task's stack to the log

They are heard whatever the process that started this one did about them, but for a HUP that `nohup` has it ignore.
"""

from __future__ import annotations

import asyncio
import io
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, TextIO

NAMES = ("TSTP", "TERM", "INT", "HUP", "TTIN")
AGAIN = "Ctrl-C again does not wait for jobs: they go back to their queues"
ONE_PRESS = 0.3  # seconds: what comes sooner is the same Ctrl-C, passed on by a parent in the same terminal
STOPPING = frozenset({"TERM", "INT", "HUP"})
NUMBERS = tuple(signal.Signals[f"SIG{name}"] for name in NAMES if hasattr(signal, f"SIG{name}"))
"""All of them, but on Windows, where tests of handlers run and no worker does."""


def install(deliver: Callable[[str], None]) -> Callable[[], None]:
    """Deliver the names of the signals; returns what puts the old handlers back. Main thread only."""
    before = {}
    for name in NAMES:
        number = getattr(signal, f"SIG{name}")
        if is_obeyed(number):
            before[number] = signal.signal(number, _handler(name, deliver))

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        _installed.clear()

    for number, handler in before.items():
        _installed.setdefault(number, handler)
    return restore


def ignore() -> None:
    """What has stopped has its exit code: no other Ctrl-C changes that. Main thread only.

    While the interpreter winds up, it gives each handler up for the system's own, which ends the process with a signal;
    its parent would take it for crashed. What is ignored stays so.
    """
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)


def is_obeyed(number: int) -> bool:
    """Whether a signal is for us: not a HUP that is ignored, as `nohup` has it when the terminal goes away."""
    return number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN


def on_terminal() -> bool:
    """Whether somebody may press Ctrl-C."""
    return any(stream is not None and _is_terminal(stream) for stream in (sys.stdin, sys.stderr))


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


_installed: dict[int, Any] = {}  # number → the handler before the first of ours


def forget() -> None:
    """In a process that a handler has forked: the signals do there what they did before `install`."""
    for number, handler in _installed.items():
        signal.signal(number, handler)
    _installed.clear()


def _handler(name: str, deliver: Callable[[str], None]) -> Callable[[int, FrameType | None], None]:
    return lambda _number, _frame: deliver(name)


def stacks(tasks: Iterable[asyncio.Task[None]] = ()) -> dict[str, str]:
    """The stack of every thread and of the given tasks, by name."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    found = {
        f"thread {names.get(ident, ident)}": "".join(traceback.format_stack(frame))
        for ident, frame in sys._current_frames().items()
    }
    for task in tasks:
        text = io.StringIO()
        task.print_stack(file=text)
        found[f"task {task.get_name()}"] = text.getvalue()
    return found

"""Signals: what the operating system and the dashboard may tell a worker, and the dump of what it is doing.

TSTP        quiet: take no more jobs, finish what runs; the process stays until TERM
TERM, INT   stop: quiet, give running jobs the time-out, put the rest back, exit
TTIN        every thread's and task's stack to the log
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
from typing import Any

NAMES = ("TSTP", "TERM", "INT", "TTIN")
NUMBERS = tuple(signal.Signals[f"SIG{name}"] for name in NAMES)


def install(deliver: Callable[[str], None]) -> Callable[[], None]:
    """Deliver the names of the four signals; returns what puts the old handlers back. Main thread only."""
    before = {}
    for name in NAMES:
        number = getattr(signal, f"SIG{name}")
        before[number] = signal.signal(number, _handler(name, deliver))

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        _installed.clear()

    for number, handler in before.items():
        _installed.setdefault(number, handler)
    return restore


_installed: dict[int, Any] = {}  # number → the handler before the first of ours


def forget() -> None:
    """In a process that a handler has forked: the four signals do there what they did before `install`."""
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

"""Forking, and what became of who was forked."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import NoReturn, Protocol
from weakref import WeakSet

from pykiq.observe.stream import has_room
from pykiq.records import Outcome, Word
from pykiq.worker import signals


class Forkable(Protocol):
    """Slots: whoever runs handlers, which may fork."""

    forked: bool


class Private(Protocol):
    """What a forked process must let go of."""

    def disown(self) -> None: ...


_slots: WeakSet[Forkable] = WeakSet()
_private: WeakSet[Private] = WeakSet()
_mask = threading.local()


def watch(slots: Forkable) -> None:
    """Set `slots.forked` in every process that is forked from now on."""
    _slots.add(slots)


def keep_from_children(one: Private) -> None:
    """Call `one.disown()` in every process that is forked from now on."""
    _private.add(one)


def _before() -> None:
    if _slots:
        _mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, signals.NUMBERS)


def _in_child() -> None:
    for slots in _slots:
        slots.forked = True
    if _slots:
        signals.forget()  # who terminates such a child wants it to end, and may do so at once
    _unblock()
    for one in _private:
        one.disown()


def _unblock() -> None:
    before = getattr(_mask, "before", None)
    if before is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        _mask.before = None


if hasattr(os, "register_at_fork"):  # not on Windows, where tests of handlers run and nothing forks
    os.register_at_fork(before=_before, after_in_parent=_unblock, after_in_child=_in_child)


def leave(outcome: Outcome) -> NoReturn:
    """End a process that a handler has forked, when that handler is done there too: the job is its parent's.

    It would otherwise live on as a copy of the worker thread, and run what jobs were waiting in the copied memory.
    """
    code = int(outcome.word is not Word.DONE)
    try:
        message = outcome.error_message or "0"
        if outcome.error_class == "SystemExit":
            code = int(message) & 0xFF if message.removeprefix("-").isdecimal() else 1
        elif code:
            sys.stderr.write(f"a process forked by {outcome.name}: {outcome.error_class}: {message}\n")
        sys.stdout.flush()
        sys.stderr.flush()
    finally:  # they may be closed
        os._exit(code)


def fork() -> int:
    """The pid of the new process, 0 in it. Raises OSError when there can be none.

    The four signals are blocked in the new process: those that its parent passes on wait until it can obey them.
    """
    for stream in (sys.stdout, sys.stderr):
        if has_room(stream):  # else the parent would wait for whoever reads it, and replace nobody
            stream.flush()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals.NUMBERS)
    pid = -1
    try:
        pid = os.fork()
    finally:
        if pid != 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def ended(pid: int) -> int | None:
    """The exit code of a child that has ended, or minus the signal that killed it; None while it runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def how(code: int) -> str:
    """An end, from `ended`, in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"

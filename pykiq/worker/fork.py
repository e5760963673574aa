"""Forking, and what became of who was forked."""

from __future__ import annotations

import os
import signal
import sys

from pykiq.worker import signals


def fork() -> int:
    """The pid of the new process, 0 in it. Raises OSError when there can be none.

    The four signals are blocked in the new process: those that its parent passes on wait until it can obey them.
    """
    sys.stdout.flush()
    sys.stderr.flush()
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

"""What a worker inherits from whoever started it, and would not work with: set right before anything else.

docs/running.md says what is left as it was.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from pykiq.errors import ConfigError

_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_streams() -> None:
    """Put the null device where a standard stream was closed, as `2>&-` does.

    Python has None in its place. And the number would be given to what is opened next: all that any library or any
    program that a handler starts writes to "standard error" would go into a connection to Redis.
    """
    for name, mode in _STREAMS:
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode)  # noqa: SIM115 # it gets the lowest free number: that of the stream
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def hear_signals() -> None:
    """Block no signal, and hear of children that end. Call it when there are handlers for those that stop a worker.

    With TERM blocked it would never stop; with CHLD ignored the exit code of every program that a handler starts is 0,
    and a parent with children does not learn how they ended.
    """
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def directory() -> Path:
    """Where it was started. Raises ConfigError when that has been removed."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise ConfigError(
            "the directory that this was started in has been removed; "
            "change to one that is there, such as the one of the new release"
        ) from None

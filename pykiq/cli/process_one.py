"""Process 1 of a container: it becomes the parent of every process whose own parent has ended, and must wait for it.

A worker cannot: it would take the exit codes of the programs that its handlers start and wait for themselves. Nobody
else does, and each such process stays a zombie until there is no room for another one. So a worker that finds itself to
be process 1 goes on as a child, below a process 1 that does nothing else: what `docker run --init` puts there.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from contextlib import suppress

from pykiq.logger import get_logger

PASSED_ON = {signal.SIGTERM, signal.SIGINT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGHUP, signal.SIGQUIT,
             signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT, signal.SIGWINCH}  # fmt: skip
WAITED_FOR = PASSED_ON | {signal.SIGCHLD}


def step_down() -> None:
    """In process 1: return in a child, which has these signals blocked. In any other process: return."""
    if os.getpid() != 1:
        return
    if threading.active_count() > 1:  # what a tracing agent has started, say: no child would have it
        get_logger().warning(
            "process_1", next="what jobs leave behind stays a zombie; start the container with --init, or from tini"
        )
        return
    gc.freeze()  # a collection would write to, and so copy, every page that both have
    sys.stdout.flush()
    sys.stderr.flush()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WAITED_FOR)
    try:
        worker = os.fork()
    except OSError:  # a limit of one process: there can be no zombies either
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    if worker == 0:
        gc.unfreeze()
        return
    os._exit(_stay(worker))


def _stay(worker: int) -> int:
    """Be process 1 until the worker has ended; returns its exit code, 128 and the number if a signal has ended it."""
    while True:
        heard = signal.sigwaitinfo(WAITED_FOR)
        if heard.si_signo == signal.SIGCHLD:
            code = _wait_for_ended(worker)
            if code is not None:
                return code if code >= 0 else 128 - code
        elif heard.si_code <= 0:  # from a process: what the kernel sends for a terminal has reached the worker, too
            with suppress(ProcessLookupError):
                os.kill(worker, heard.si_signo)


def _wait_for_ended(worker: int) -> int | None:
    """Take every process that has ended; what the worker ended with, None while it runs."""
    code = None
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == worker:
                code = os.waitstatus_to_exitcode(ended[1])
    return code

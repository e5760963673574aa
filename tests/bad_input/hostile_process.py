"""Handlers that spoil the process they run in, loaded by `pykiq run --require`; each job is one way to do it."""

from __future__ import annotations

import asyncio
import decimal
import gc
import locale
import logging
import multiprocessing
import os
import random
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import structlog

import pykiq

FOLDER = Path(os.environ["HOSTILE_FOLDER"])


def change_locale() -> None:
    locale.setlocale(locale.LC_ALL, "C")
    os.environ["TZ"] = "Asia/Kathmandu"
    time.tzset()
    decimal.getcontext().prec = 1
    decimal.setcontext(decimal.Context(prec=1))


def change_directory() -> None:
    gone = FOLDER / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()


def change_signals() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def block_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])


def close_streams() -> None:
    sys.stdin.close()
    sys.stdout.close()
    sys.stderr.close()


def silence_logging() -> None:
    logging.shutdown()
    logging.disable()
    structlog.reset_defaults()
    structlog.configure(processors=[])


def spoil_defaults() -> None:
    socket.setdefaulttimeout(0.000001)
    random.seed(0)
    gc.disable()
    os.umask(0o777)
    for name in list(os.environ):
        if name != "PYTHONPATH":
            del os.environ[name]


def fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(7)
    os.waitpid(child, 0)


def fork_and_exit() -> None:
    child = os.fork()
    if child == 0:
        sys.exit(3)
    assert exit_code_of(child) == 3


def fork_and_raise() -> None:
    child = os.fork()
    if child == 0:
        raise KeyError("in the child")
    assert exit_code_of(child) == 1


def fork_and_return() -> None:
    child = os.fork()
    if child != 0:
        assert exit_code_of(child) == 0


def exit_code_of(child: int) -> int:
    """Raises when it does not end by itself; it is killed then."""
    for _ in range(500):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    raise TimeoutError("the forked process lives on")


def terminate_a_process() -> None:
    worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(3600,))
    worker.start()
    worker.terminate()
    worker.join(5)
    ended = worker.exitcode
    worker.kill()
    assert ended == -signal.SIGTERM


async def fork_on_the_loop() -> None:
    child = os.fork()
    if child == 0:
        sys.exit(3)
    assert await asyncio.to_thread(exit_code_of, child) == 3


def leave_a_thread() -> None:
    threading.Thread(target=time.sleep, args=(3600,)).start()


def dump_stacks() -> None:
    os.kill(os.getpid(), signal.SIGTTIN)


@pykiq.job("HostileJob")
def hostile(deed: str) -> None:
    globals()[deed]()


@pykiq.job("AsyncHostileJob")
async def async_hostile(deed: str) -> None:
    await globals()[deed]()


@pykiq.job("GoodJob")
def good(number: int) -> None:
    (FOLDER / f"good-{number}").touch()


@pykiq.job("FailJob")
def fail() -> None:
    raise ValueError("ünïcödé")

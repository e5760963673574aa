"""The handlers of the chaos tests, for `pykiq run --require`. Each run of a job leaves a line that no kill undoes.

A line is one write() to a file opened with O_APPEND: `<what> <job number> <process> <attempt>`.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pykiq

FOLDER = Path(os.environ["CHAOS_FOLDER"])
NAME = os.environ["CHAOS_NAME"]
LOADED_BY = os.getpid()

pykiq.configure(**json.loads(os.environ["CHAOS_SETTINGS"]))

_ledger = os.open(FOLDER / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def note(what: str, number: int) -> None:
    where = NAME if os.getpid() == LOADED_BY else f"{NAME}/{os.getpid()}"  # a child of a swarm has its own name
    os.write(_ledger, f"{what} {number} {where} {pykiq.current_job().attempt}\n".encode())


@pykiq.death_handler
def mourn(job: Any, error: BaseException) -> None:
    number = job["args"][0] if job["args"] else -1
    where = NAME if os.getpid() == LOADED_BY else f"{NAME}/{os.getpid()}"
    os.write(_ledger, f"mourned-by-{type(error).__name__} {number} {where} 0\n".encode())


def first_time(number: int) -> bool:
    """Whether nobody has come here for this job; true once, in all processes together."""
    try:
        os.close(os.open(FOLDER / f"seen-{number}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def one_second(count: int, error: BaseException, job: Any) -> int:
    return 1


@pykiq.job("QuickJob")
def quick(number: int, seconds: float = 0.0) -> None:
    time.sleep(seconds)
    note("done", number)


@pykiq.job("AsyncJob")
async def quick_async(number: int, seconds: float = 0.0) -> None:
    await asyncio.sleep(seconds)
    note("done", number)


@pykiq.job("FlakyJob", retry_in=one_second)
def flaky(number: int, seconds: float = 0.0) -> None:
    """Fails until it is a retry."""
    time.sleep(seconds)
    if pykiq.current_job().attempt == 0:
        note("failed", number)
        raise ValueError(f"job {number} fails the first time")
    note("done", number)


@pykiq.job("LargeJob", retry_in=one_second)
def large(number: int, padding: str) -> None:
    """As FlakyJob, with an entry in `retry` that is larger than the job by its error."""
    if pykiq.current_job().attempt == 0:
        note("failed", number)
        raise ValueError(f"job {number} fails the first time: {padding[:9000]}")
    note("done", number)


@pykiq.job("SnoozingJob")
def snoozing(number: int, seconds: float = 0.0) -> None:
    """Asks for another moment once."""
    time.sleep(seconds)
    if first_time(number):
        note("snoozed", number)
        raise pykiq.Snooze(0.2)
    note("done", number)


@pykiq.job("HeldJob")
def held(number: int, ending: str = "done") -> None:
    """The first run waits until the test makes the file `release`, then ends as `ending` says; a second run is done."""
    if not first_time(number):
        note("done", number)
        return
    note("held", number)
    while not (FOLDER / "release").exists():
        time.sleep(0.01)
    note("released", number)
    if ending == "raise":
        raise ValueError(f"job {number} fails after it was taken over")
    if ending == "snooze":
        raise pykiq.Snooze(3600)


@pykiq.job("GreedyJob")
def greedy(number: int, seconds: float) -> None:
    """Holds the interpreter's lock: no other thread of its process does anything meanwhile."""
    note("greedy", number)
    ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))
    note("done", number)


@pykiq.job("ForkingJob")
def forking(number: int) -> None:
    """The first run leaves a forked process behind that lives on for a minute; a second run is done."""
    if not first_time(number):
        note("done", number)
        return
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    note("forked", number)
    time.sleep(60)


@pykiq.job("LeakyJob")
def leaky(number: int, megabytes: int) -> None:
    """Keeps memory for good, and runs until the test makes the file `release`."""
    _leaked.append(b"x" * (megabytes * 1024 * 1024))
    note("leaked", number)
    while not (FOLDER / "release").exists():
        time.sleep(0.01)
    note("done", number)


_leaked: list[bytes] = []


@pykiq.job("RandomJob")
def drawn(number: int) -> None:
    """Writes down what a child draws that has the memory of its parent."""
    jid = pykiq.remote("RubyJob", queue="ruby").perform_async()
    (FOLDER / f"drawn-{os.getpid()}").write_text(f"{random.random()} {jid}")
    time.sleep(0.2)  # so that the next one is for the other child
    note("done", number)


@pykiq.job("PoisonJob")
def poison(number: int) -> None:
    note("poison", number)
    os.kill(os.getpid(), signal.SIGKILL)


@pykiq.job("FailingJob")
def failing(number: int) -> None:
    note("failed", number)
    raise ValueError(f"job {number} always fails")

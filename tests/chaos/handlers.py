"""The handlers of the chaos tests, for `pykiq run --require`. Each run of a job leaves a line that no kill undoes.

A line is one write() to a file opened with O_APPEND: `<what> <job number> <process> <attempt>`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pykiq

FOLDER = Path(os.environ["CHAOS_FOLDER"])
NAME = os.environ["CHAOS_NAME"]

pykiq.configure(**json.loads(os.environ["CHAOS_SETTINGS"]))

_ledger = os.open(FOLDER / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def note(what: str, number: int) -> None:
    os.write(_ledger, f"{what} {number} {NAME} {pykiq.current_job().attempt}\n".encode())


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


@pykiq.job("PoisonJob")
def poison(number: int) -> None:
    note("poison", number)
    os.kill(os.getpid(), signal.SIGKILL)

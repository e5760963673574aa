"""The jobs of the benchmark in Python; ../ruby_side/jobs.rb has the same in Ruby."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pykiq

MEGABYTE = 1 << 20
TIMES = open(os.environ.get("STAMPS", os.devnull), "ab")  # noqa: SIM115 (lives as long as the process)
STAMPS = os.open(os.environ.get("STAMPS", os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT)


@pykiq.job("Bench::Noop")
def noop(*args: object) -> None:
    pass


@pykiq.job("Bench::AsyncNoop")
async def async_noop(*args: object) -> None:
    pass


@pykiq.job("Bench::Sleep")
def sleep(seconds: float) -> None:
    time.sleep(seconds)


def burn(seconds: float) -> None:
    """Use so much CPU time."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@pykiq.job("Bench::Timed")
def timed(pushed_at: float, pause: float, compute: float) -> None:
    """Note when it was pushed and started, without a system call; compute, then sleep, for so many seconds."""
    started = time.time()
    TIMES.write(b"%.9f %.9f\n" % (pushed_at, started))
    if compute:
        burn(compute)
    if pause:
        time.sleep(pause)


@pykiq.job("Bench::Flush")
def flush(number: int) -> None:
    """Bring what was noted to the file, with this number as the last line."""
    TIMES.write(b"0 %d\n" % number)
    TIMES.flush()


@pykiq.job("Bench::Fail")
def fail(*args: object) -> None:
    """Fail with a traceback that holds a megabyte."""
    weight = bytearray(MEGABYTE)
    raise ValueError(len(weight))


@pykiq.job("Bench::AsyncFail")
async def async_fail(*args: object) -> None:
    weight = bytearray(MEGABYTE)
    raise ValueError(len(weight))


@pykiq.job("Bench::Stamp")
def stamp(pushed_at: float) -> None:
    """Note the seconds from push to start, both on CLOCK_REALTIME."""
    late = time.time() - pushed_at
    os.write(STAMPS, b"%.9f\n" % late)


@pykiq.job("Bench::Mark")
def mark(_: int) -> None:
    """Note the time."""
    os.write(STAMPS, b"%.9f\n" % time.time())


@pykiq.job("Bench::Slow")
def slow(number: int) -> None:
    """Note its number at the end of a quarter of a second."""
    time.sleep(0.25)
    os.write(STAMPS, b"%d\n" % number)


DEPTH = 30  # frames
Child = pykiq.remote("Bench::Noop", queue="unserved")


@pykiq.job("Bench::Deep")
def deep(frames: int = DEPTH) -> None:
    """Fail so many frames deep."""
    if frames == 1:
        raise ValueError("out of luck")
    deep(frames - 1)


@pykiq.job("Bench::Fan")
def fan(count: int) -> None:
    """Push so many jobs to a queue that nobody serves."""
    for number in range(count):
        Child.perform_async(number)


@pykiq.job("Bench::AsyncFan")
async def async_fan(count: int) -> None:
    for number in range(count):
        await Child.aperform_async(number)


@pykiq.job("Bench::Mail", active_job=True)
def mail(number: int, to: str) -> None:
    """An ActiveJob."""


def around(job: pykiq.JobContext) -> Iterator[None]:
    yield


def further_around(job: pykiq.JobContext) -> Iterator[None]:
    yield


def innermost(job: pykiq.JobContext) -> Iterator[None]:
    yield


def hear(error: BaseException, context: object) -> None:
    """Exceptions of failed jobs travel to whoever listens, with their tracebacks."""


EXTRAS = os.environ.get("EXTRAS", "").split()
if "middleware" in EXTRAS:
    for one in (around, further_around, innermost):
        pykiq.server_middleware.add(one)
if "listener" in EXTRAS:
    pykiq.error_handler(hear)

"""The Python handlers of the interop tests; `pykiq run --require` loads this file."""

from __future__ import annotations

import json
import os
import struct
import time
from pathlib import Path
from typing import Any

import redis

import pykiq

EchoJob = pykiq.remote("EchoJob", queue="back")
NOTES = redis.Redis.from_url(os.environ["REDIS_URL"], protocol=2)


def described(value: Any) -> list[Any]:
    """What Python makes of a value, spelled so that nothing of its type is lost; jobs.rb has the same in Ruby."""
    match value:
        case None:
            return ["null"]
        case bool():
            return ["bool", "true" if value else "false"]
        case int():
            return ["int", str(value)]
        case float():
            return ["float", struct.pack(">d", value).hex()]
        case str():
            return ["str", len(value), value.encode().hex()]
        case list():
            return ["list", *map(described, value)]
        case dict():
            return ["dict", *([described(key), described(item)] for key, item in value.items())]
    return ["?", type(value).__name__]


def note(**said: Any) -> None:
    job = pykiq.current_job()
    NOTES.rpush("notes", json.dumps({"by": "python", "jid": job.jid, **said}))


@pykiq.job("Py::Echo", queue="python")
def echo(name: str, ruby_view: list[Any], *args: Any) -> None:
    view = described(list(args))
    NOTES.rpush("seen", json.dumps({"name": name, "same": view == ruby_view, "python": view}))
    EchoJob.perform_async(name, view, *args)


@pykiq.job("Py::Note", queue="python")
async def take_note(*args: Any) -> None:
    note(args=args)


class OrderError(Exception):
    """Fails with a name that is not a builtin's."""


def deeper(message: str) -> None:
    raise OrderError(message)


@pykiq.job("Py::Fails", queue="python")
def fails(message: str) -> None:
    note(args=[message])
    deeper(message)


@pykiq.job("Py::FailsWithBacktrace", queue="python", backtrace=True, tags=["slow", "billing"], retry=3)
def fails_with_backtrace(message: str) -> None:
    deeper(message)


@pykiq.job("Py::Dies", queue="python", retry=0, backtrace=3)
def dies(message: str) -> None:
    deeper(message)


@pykiq.job("Py::Busy", queue="python")
def busy(path: str) -> None:
    """Runs until the file exists, or its process is stopped: the tests that look at it may take minutes."""
    deadline = time.monotonic() + 3600
    while not Path(path).exists() and time.monotonic() < deadline:
        time.sleep(0.02)


@pykiq.job("Shared::Flaky", queue="shared", backtrace=2)
def flaky(*args: Any) -> None:
    note(args=args)
    raise OrderError("python says no")

"""What the handlers of all peers do, and the command that pushes: `python <peer>_app.py noop|stamp|slow COUNT`.

Each runs with its peer's own Python, from this folder: nothing of pykiq is imported here.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable

PAUSE = (0.01, 0.03)  # seconds between two jobs of which the delay is measured
SLOW = 0.25  # seconds
URL = os.environ["REDIS_URL"]


def note(what: object) -> None:
    """Append a line to the benchmark's file."""
    with open(os.environ["STAMPS"], "a") as stamps:
        stamps.write(f"{what}\n")


def push(send: Callable[[str, object], object]) -> None:
    """Push as the command line says; `send` takes a job's kind and its argument."""
    kind, count = sys.argv[1], int(sys.argv[2])
    if kind == "noop":
        send("mark", 0)
        for number in range(count):
            send("noop", number)
        send("mark", 1)
    for number in range(count if kind == "stamp" else 0):
        send("stamp", time.time())
        time.sleep(random.Random(number).uniform(*PAUSE))
    for number in range(count if kind == "slow" else 0):
        send("slow", number)


def noop(_: object) -> None:
    pass


def mark(_: object) -> None:
    note(time.time())


def stamp(pushed_at: float) -> None:
    note(time.time() - pushed_at)


def slow(number: int) -> None:
    time.sleep(SLOW)
    note(number)


KINDS: dict[str, Callable[..., None]] = {"noop": noop, "mark": mark, "stamp": stamp, "slow": slow}

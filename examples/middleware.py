"""Middleware: around every push, and around every execution.

pykiq run --require examples/middleware.py         # in one terminal
python examples/middleware.py                      # in another
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pykiq

Payload = dict[str, Any]


@pykiq.client_middleware.add
def stamp_tenant(job: Payload, call_next: Callable[[Payload], Payload | None]) -> Payload | None:
    """Runs in whatever process pushes: puts a key of our own on the payload. Ruby keeps it, and so does every retry."""
    job.setdefault("tenant", "acme")
    if "unwanted" in job["args"]:
        return None  # nothing is pushed, and perform_async returns None
    return call_next(job)


@pykiq.server_middleware.add
def timed(job: pykiq.JobContext) -> Iterator[None]:
    """Runs in the worker, around `def` and `async def` handlers alike. The job runs at the `yield`."""
    started = time.monotonic()
    try:
        yield
    finally:
        job.log.info("timed", tenant=job.payload.get("tenant"), seconds=round(time.monotonic() - started, 3))


@pykiq.job("Reports::BuildJob")
def build(name: str) -> None:
    pykiq.current_job().log.info("built", report=name)


@pykiq.job("Reports::SendJob")
async def send(name: str) -> None:
    pykiq.current_job().log.info("sent", report=name)


if __name__ == "__main__":
    print(build.perform_async("sales"))
    print(send.perform_async("sales"))
    print(build.perform_async("unwanted"))

"""Python's half of a queue that both languages serve; `pykiq run --require` and `pykiq stubs ruby` load this file."""

from __future__ import annotations

import json
import os
from typing import Any

import redis

import pykiq

NOTES = redis.Redis.from_url(os.environ.get("REDIS_URL", "redis://localhost"), protocol=2)


@pykiq.job("Mixed::Deep::PyJob", queue="mixed", retry=7, tags=["größe ✓", "#{raise}"], x_lock={"a": None, "f": 1e-7})
def count(number: int, *more: Any) -> None:
    NOTES.rpush("notes", json.dumps({"by": "python", "jid": pykiq.current_job().jid, "args": [number, *more]}))


@pykiq.job("PyActiveJob", active_job=True, queue="mixed", priority=3)
def count_active(number: int, *, unit: str) -> None:
    count(number, unit)


@pykiq.job("PyAsyncJob", queue="mixed")
async def count_async(number: int) -> None:
    count(number)

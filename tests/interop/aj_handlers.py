"""The Python side of the ActiveJob tests; `pykiq run --require` loads this file."""

from __future__ import annotations

import json
import os
from typing import Any

import redis

import pykiq
from pykiq.activejob import RetryOn, current

HEARD = redis.Redis.from_url(os.environ["REDIS_URL"], protocol=2)

BackAj = pykiq.remote("BackAj", active_job=True, queue="ruby")


@pykiq.job("EchoAj", active_job=True, queue="python")
def echo(name: str, *args: Any, **keywords: Any) -> None:
    BackAj.perform_async(name, *args, **keywords)


@pykiq.job("FlakyAj", active_job=True, rescue=RetryOn(ValueError, wait=60, attempts=3, counted_as=["ArgumentError"]))
def flaky(*args: Any) -> None:
    job = current()
    HEARD.rpush("tries", json.dumps(["python", job.executions, job.exception_executions, args, job.job_id]))
    raise ValueError("python says no")

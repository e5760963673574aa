"""Database connections as a request has them: none that is too old or broken, before and after every job.

Django does this around requests only. Without it a worker's thread keeps a connection that the server has closed over
night, and every job on it fails (CONN_MAX_AGE, CONN_HEALTH_CHECKS).
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator

from asgiref.sync import SyncToAsync
from django.db import close_old_connections

from pykiq.jobs.context import JobContext


def fresh_connections(job: JobContext) -> Generator[None]:
    """Server middleware. `pykiq.contrib.django` adds it by itself."""
    _close_old()
    try:
        yield
    finally:
        _close_old()


def _close_old() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        close_old_connections()
    else:
        # An `async def` handler: Django's queries run one after the other on this thread, so on those after this one.
        SyncToAsync.single_thread_executor.submit(close_old_connections)

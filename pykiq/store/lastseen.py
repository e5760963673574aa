"""What a process that died was last seen running: the work records of its last heartbeat (WIRE.md §10.4).

They outlive it by a minute, which is longer than a lease. A job that is not among them began after that heartbeat, or
had not begun at all.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

import redis

from pykiq.wire import keys
from pykiq.wire.dialect import is_number

LARGEST = 1 << 16  # bytes of a record that is read: a server may cut off a connection for what it is sent
PORTION = 8  # records read in one round trip
LATEST = 253_402_300_799  # epoch seconds: no later moment has a date


class LastSeen:
    """The records of one process, read when they are first asked for."""

    def __init__(self, client: redis.Redis, owner: str) -> None:
        self._client = client
        self._owner = owner

    def started_at(self, queue: str, raw: bytes) -> float | None:
        """When the job began (epoch s), None when nothing tells. Of equal jobs each has a record of its own."""
        found = self._records.get((queue, raw.decode("utf-8", "replace")))
        return found.pop() if found else None

    @cached_property
    def _records(self) -> dict[tuple[str, str], list[float]]:
        found: dict[tuple[str, str], list[float]] = {}
        try:
            for record in self._read(keys.work(self._owner)) or self._read(keys.workers(self._owner)):
                queue, job, run_at = (record.get(name) for name in ("queue", "payload", "run_at"))
                if isinstance(queue, str) and isinstance(job, str) and is_number(run_at) and 0 < run_at < LATEST:
                    found.setdefault((queue, job), []).append(float(run_at))
        except redis.ResponseError:
            pass  # a key of another type, a user who may not: the takeover does without
        return found

    def _read(self, key: str) -> list[dict[str, Any]]:
        fields: Any = self._client.hkeys(key)
        records = []
        for start in range(0, len(fields), PORTION):
            portion = fields[start : start + PORTION]
            with self._client.pipeline(transaction=False) as pipeline:
                for field in portion:
                    pipeline.hstrlen(key, field)
                lengths = pipeline.execute()
            small = [field for field, length in zip(portion, lengths, strict=True) if length <= LARGEST]
            values: Any = self._client.hmget(key, small) if small else []
            records += [record for value in values if isinstance(record := _parsed(value), dict)]
        return records


def _parsed(value: bytes | None) -> Any:
    try:
        return json.loads(value or b"null")
    except (ValueError, RecursionError):
        return None

"""The client behind an administrator's objects: its Redis, its settings, and how jobs are written in this fleet."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import redis

from pykiq.client import default
from pykiq.client.sync import Client
from pykiq.store import fleet
from pykiq.wire.dialect import Dialect, for_payload


class Access:
    """What a queue, a set or a process list works with. `client` is that of `pykiq.configure` unless given."""

    def __init__(self, client: Client | None = None) -> None:
        self.client = default.client() if client is None else client
        self.config = self.client.config

    @property
    def redis(self) -> redis.Redis:
        return self.client.redis

    @cached_property
    def _spoken(self) -> Dialect:
        return fleet.chosen(self.config.wire, fleet.read(self.redis))

    def dialect(self, job: dict[str, Any]) -> Dialect:
        """How a job is written when it is pushed again: its own way, unless the setting says another."""
        return for_payload(job, self._spoken, self.config.wire)


def moment(seconds: float | None) -> datetime | None:
    """Epoch seconds as a datetime in UTC; None for none, and for what no calendar has."""
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None

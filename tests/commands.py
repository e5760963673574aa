"""How many commands Redis was sent or ran in scripts, but for INFO, which asks for that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import redis


def calls(client: redis.Redis) -> int:
    """All commands so far."""
    stats: Mapping[str, Mapping[str, Any]] = client.info("commandstats")
    return sum(int(row["calls"]) for name, row in stats.items() if name != "cmdstat_info")


def taken(client: redis.Redis, work: Callable[[], object]) -> int:
    """How many commands `work` takes, on a server of which nobody else asks anything meanwhile."""
    before = calls(client)
    work()
    return calls(client) - before

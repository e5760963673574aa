"""The Redis server as it describes itself, and whether it will do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis

from pykiq.config import Config
from pykiq.errors import StoreError
from pykiq.logger import get_logger

OLDEST_REDIS = (6, 2)


@dataclass(frozen=True, slots=True)
class Server:
    """The server as it describes itself. `speaks` is the Redis version it is compatible with."""

    name: str
    version: str
    speaks: tuple[int, int]
    policy: str | None
    is_cluster: bool


def examine(client: redis.Redis, config: Config) -> Server:
    """Ask the server what it is.

    Raises:
        StoreError: it is older than Redis 6.2, or a cluster.
    """
    try:
        info = client.info()
    except redis.ResponseError as error:
        # An ACL may forbid INFO; that alone is no reason not to work.
        get_logger().warning("server_unknown", error=str(error), why="INFO is refused")
        return Server("redis", "unknown", OLDEST_REDIS, None, is_cluster=False)
    server = described(info)
    if server.is_cluster:
        raise StoreError(
            f"Redis at {config.redis_shown} is a cluster, where a job cannot move between queue and retry set in one"
            " step; give the URL of a single server or of Sentinels (redis+sentinel://…)"
        )
    if server.speaks < OLDEST_REDIS:
        raise StoreError(
            f"Redis at {config.redis_shown} is version {server.version}; expected 6.2 or later, for LMOVE and BLMOVE"
        )
    return server


def described(info: Mapping[str, Any]) -> Server:
    """What INFO says, of Redis, Valkey or Dragonfly."""
    speaks = str(info.get("redis_version", ""))
    for name in ("valkey", "dragonfly"):
        if f"{name}_version" in info:
            version = re.sub(r"^[^0-9]*", "", str(info[f"{name}_version"]))
            break
    else:
        name, version = "redis", speaks
    numbers = re.match(r"(\d+)\.(\d+)", speaks)
    return Server(
        name=name,
        version=version,
        speaks=(int(numbers[1]), int(numbers[2])) if numbers else OLDEST_REDIS,
        policy=info.get("maxmemory_policy"),
        is_cluster=str(info.get("cluster_enabled", 0)) == "1" or info.get("redis_mode") == "cluster",
    )

"""A client on an empty database, and jobs as Ruby's three versions write them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis as redis_py

from pykiq import Client, Config
from pykiq.client import configure
from pykiq.middleware.chain import Chain, ClientMiddleware


@pytest.fixture
def chain() -> Chain[ClientMiddleware]:
    """The client's middleware: empty, until a test adds some."""
    return Chain()


@pytest.fixture
def client(redis: redis_py.Redis, redis_url: str, chain: Chain[ClientMiddleware]) -> Client:
    config = Config.of(redis=redis_url)
    configure.forget()
    return Client(config, redis=redis, middleware=chain)


def packed(number: int = 1, **keys: Any) -> bytes:
    """A payload whose only argument is `number`, which also makes its jid."""
    job = {
        "retry": True,
        "queue": "low",
        "class": "HardJob",
        "args": [number],
        "jid": f"{number:024x}",
        "created_at": 1_795_315_000.5,
        "enqueued_at": 1_795_315_001.5,
        **keys,
    }
    return json.dumps(job, separators=(",", ":"), ensure_ascii=False).encode()


def failed(number: int = 1, **keys: Any) -> bytes:
    """The same after a first failure."""
    told = {"error_message": "no stock", "error_class": "OrderError", "failed_at": 1_795_315_002.5, "retry_count": 0}
    return packed(number, **{**told, **keys})


def members(redis: redis_py.Redis, key: str) -> list[dict[str, Any]]:
    """The payloads of a queue or a set."""
    raws = redis.lrange(key, 0, -1) if redis.type(key) == b"list" else redis.zrange(key, 0, -1)
    return [json.loads(raw) for raw in raws]

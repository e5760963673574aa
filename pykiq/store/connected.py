"""A connection for the length of one command: made, proved, and every failure of it one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from pykiq.config import Config
from pykiq.errors import StoreError
from pykiq.store import connection


@contextmanager
def connected(config: Config) -> Iterator[redis.Redis]:
    """A client that has answered once.

    Raises:
        ConfigError: the URL names a file that cannot be read.
        StoreError: Redis does not answer, or stops answering in the middle.
    """
    client = connection.connect(config)
    try:
        connection.probe(client, config)
        try:
            yield client
        except redis.RedisError as error:  # the client's own: an OSError is of standard output, such as a full disk
            reason = str(error).strip().splitlines()
            raise StoreError(
                f"Redis at {config.redis_shown}: {reason[0] if reason else type(error).__name__}"
            ) from error
    finally:
        connection.close(client)

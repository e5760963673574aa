"""A connection for the length of one command: made, proved, and every failure of it one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from pykiq.config import Config
from pykiq.errors import ConfigError, StoreError
from pykiq.store import connection


@contextmanager
def connected(config: Config) -> Iterator[redis.Redis]:
    """A client that has answered once.

    Raises:
        ConfigError: the URL has options that the Redis client does not take.
        StoreError: Redis does not answer, or stops answering in the middle.
    """
    try:
        client = connection.connect(config)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the Redis URL {config.redis_shown} cannot be used: {error}") from None
    try:
        try:
            connection.probe(client, config)
        except TypeError as error:  # an option after the ? that only the connection itself looks at
            raise ConfigError(f"the Redis URL {config.redis_shown} cannot be used: {error}") from None
        try:
            yield client
        except redis.RedisError as error:  # the client's own: an OSError is of standard output, such as a full disk
            reason = str(error).strip().splitlines()
            raise StoreError(
                f"Redis at {config.redis_shown}: {reason[0] if reason else type(error).__name__}"
            ) from error
    finally:
        connection.close(client)

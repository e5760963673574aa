"""What both clients share: everything but the sending."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pykiq.client import bulk
from pykiq.client.build import normalize, plan
from pykiq.client.caller import users_level
from pykiq.client.configure import current
from pykiq.client.diversion import diverted, is_open
from pykiq.config import Config
from pykiq.errors import ConfigError, PayloadError
from pykiq.middleware.chain import Chain, ClientMiddleware, client_middleware
from pykiq.store.fleet import Fleet
from pykiq.store.push import PushBatch
from pykiq.wire.dialect import SEVEN, Dialect, beside_rails, for_payload

FLEET_SECONDS = 60.0
"""How long a client believes what it read about the Ruby processes beside it."""


def new_jid() -> str:
    """24 hexadecimal digits, as Ruby makes them (WIRE.md §3)."""
    return os.urandom(12).hex()


def new_jids(count: int) -> list[str]:
    """`count` of them, from one look at the system's source of chance."""
    digits = os.urandom(12 * count).hex()
    return [digits[start : start + 24] for start in range(0, len(digits), 24)]


def _is_real(given: Any) -> bool:
    """Whether a client of redis-py speaks to a server: stand-ins for tests have connections of their own."""
    pool = getattr(given, "connection_pool", None)
    return given is None or str(getattr(getattr(pool, "connection_class", None), "__module__", "")).startswith("redis.")


class BaseClient:
    """The settings of a client, its view of the fleet, and its pushes up to the point of sending."""

    _given: Any  # a client of redis-py, or None for one of our own

    def __init__(
        self,
        config: Config | None,
        redis: object,
        *,
        middleware: Chain[ClientMiddleware] | None,
        clock: Callable[[], float],
        rng: random.Random | None,
    ) -> None:
        if config is not None and not isinstance(config, Config):
            raise ConfigError(
                f"a client was given {type(config).__name__} as its config; expected a Config, as of Config.of(redis=…)"
            )
        self.config = current() if config is None else config
        if isinstance(redis, str):  # where Redis is, and not a connection to it
            self.config = replace(self.config, redis=redis)
        self.middleware = client_middleware if middleware is None else middleware
        self._clock = clock
        self._rng = rng or random.SystemRandom()  # a forked child must not draw what its siblings draw
        self._fleet = Fleet()
        self._fleet_until = 0.0

    def _tell_pytest(self) -> None:
        """Before a push that goes to Redis: pykiq's pytest plugin, where it is active, warns unless that is meant."""
        plugin = sys.modules.get("pykiq_pytest")
        if plugin is not None and not is_open() and _is_real(self._given):
            where = self.config.redis_shown if self._given is None else "a given client of redis-py"
            plugin.pushing(where, users_level())

    def _needs_fleet(self) -> bool:
        """Whether the next push has to look at the fleet first."""
        return self.config.wire == "auto" and time.monotonic() >= self._fleet_until and diverted() is None

    def _saw(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._fleet_until = time.monotonic() + FLEET_SECONDS

    def _dialect(self, item: Mapping[str, Any]) -> Dialect:
        """What to write a job in: the setting; else the generation of its own `created_at`; else the fleet's."""
        if not isinstance(item, Mapping):
            raise PayloadError(
                f"the job is {item!r:.80}; expected a mapping such as {{'class': 'HardJob', 'args': [1]}}"
            )
        fleet = self._fleet.dialect if self.config.wire == "auto" else SEVEN
        return beside_rails(for_payload(item, fleet, self.config.wire), self.config.rails)

    def _one(self, item: Mapping[str, Any]) -> tuple[str | None, list[PushBatch]]:
        """The jid and what to send; None and nothing when a middleware stopped the job."""
        dialect = self._dialect(item)
        job = normalize(
            item,
            now=self._clock(),
            dialect=dialect,
            jid=new_jid,
            chain=self.middleware,
            strict=self.config.strict_args,
        )
        if job is None:
            return None, []
        jid = job.get("jid")
        return jid, plan((job,), now=self._clock(), dialect=dialect)

    def _many(self, item: Mapping[str, Any], batch_size: int | None) -> Iterator[bulk.Slice]:
        return bulk.slices(
            item,
            clock=self._clock,
            dialect=self._dialect(item),
            jids=new_jids,
            chain=self.middleware,
            strict=self.config.strict_args,
            batch_size=batch_size,
            rng=self._rng,
        )

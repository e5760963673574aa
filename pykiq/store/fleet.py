"""The fleet: which Ruby versions run beside us, and so which dialect new payloads speak."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import redis
import redis.asyncio

from pykiq.store.refusals import is_wrong_type
from pykiq.wire import keys, untrusted
from pykiq.wire.dialect import EIGHT, SEVEN, SIX, Dialect, for_fleet


@dataclass(frozen=True, slots=True)
class Fleet:
    """The versions found in `processes` (None: a process that writes none, so 6.x); pykiq's own are left out."""

    versions: frozenset[str | None] = frozenset()

    @property
    def dialect(self) -> Dialect:
        return for_fleet(self.versions)

    @property
    def needs_workers_key(self) -> bool:
        """Whether running jobs are written under 6.x's key too: not when only newer Rubies are seen (WIRE.md §21)."""
        return not self.versions or self.dialect.major == 6


def read(client: redis.Redis) -> Fleet:
    """Read the fleet in two round trips."""
    try:
        identities = list(client.smembers(keys.PROCESSES))
    except redis.ResponseError as error:
        identities = _none_of(error)
    if not identities:
        return Fleet()
    pipeline = client.pipeline(transaction=False)
    for identity in identities:
        pipeline.hget(identity, "info")
    return _fleet(pipeline.execute(raise_on_error=False))


async def aread(client: redis.asyncio.Redis) -> Fleet:
    """The same for asyncio."""
    try:
        identities = list(await client.smembers(keys.PROCESSES))
    except redis.ResponseError as error:
        identities = _none_of(error)
    if not identities:
        return Fleet()
    pipeline = client.pipeline(transaction=False)
    for identity in identities:
        pipeline.hget(identity, "info")
    return _fleet(await pipeline.execute(raise_on_error=False))


def chosen(setting: str, fleet: Fleet) -> Dialect:
    """The dialect of new payloads: the `wire` setting, or what the fleet speaks."""
    return {"6": SIX, "7": SEVEN, "8": EIGHT}.get(setting, fleet.dialect)


def _none_of(error: redis.ResponseError) -> list[Any]:
    """What a key of another type names: nobody. Raises any other error."""
    if not is_wrong_type(error):
        raise error
    return []


def _fleet(infos: Iterable[Any]) -> Fleet:
    versions: set[str | None] = set()
    for raw in infos:
        info = untrusted.mapping(raw)
        if info is not None and "pykiq" not in info:
            version = info.get("version")
            versions.add(version if isinstance(version, str) else None)
    return Fleet(frozenset(versions))

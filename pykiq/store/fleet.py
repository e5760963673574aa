"""The fleet: which Ruby versions run beside us, and so which dialect new payloads speak.

To read it costs a command for each process. So one process reads it for all, and leaves what it has read in Redis:
the others have one GET each, however many they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis
import redis.asyncio

from pykiq.store.refusals import is_wrong_type
from pykiq.wire import keys, untrusted
from pykiq.wire.dialect import EIGHT, SEVEN, SIX, Dialect, for_fleet
from pykiq.wire.exactjson import dumps

FRESH_SECONDS = 20.0
"""How long what one process has read does for all: with the next beat of each, so much later a change is seen."""

READING_SECONDS = 5.0
"""How long a process may take to read before another one does."""

_PORTION = 500  # processes asked about in one round trip
_FORMAT = 1  # of what is left for the others; another version's is not read


@dataclass(frozen=True, slots=True)
class Fleet:
    """The versions found in `processes` (None: a process that writes none, so 6.x); pykiq's own are left out.

    `peers` is how many processes of pykiq there are, this one included.
    """

    versions: frozenset[str | None] = frozenset()
    peers: int = field(default=0, compare=False)

    @property
    def dialect(self) -> Dialect:
        return for_fleet(self.versions)

    @property
    def needs_workers_key(self) -> bool:
        """Whether running jobs are written under 6.x's key too: not when only newer Rubies are seen (WIRE.md §21)."""
        return not self.versions or self.dialect.major == 6


def read(client: redis.Redis) -> Fleet:
    """Read the fleet: one round trip, and one for each 500 processes."""
    try:
        identities: list[Any] = sorted(client.smembers(keys.PROCESSES))
    except redis.ResponseError as error:
        identities = _none_of(error)
    infos: list[Any] = []
    for portion in _portions(identities):
        pipeline = client.pipeline(transaction=False)
        for identity in portion:
            pipeline.hget(identity, "info")
        infos += pipeline.execute(raise_on_error=False)
    return _fleet(infos)


async def aread(client: redis.asyncio.Redis) -> Fleet:
    """The same for asyncio."""
    try:
        identities: list[Any] = sorted(await client.smembers(keys.PROCESSES))
    except redis.ResponseError as error:
        identities = _none_of(error)
    infos: list[Any] = []
    for portion in _portions(identities):
        pipeline = client.pipeline(transaction=False)
        for identity in portion:
            pipeline.hget(identity, "info")
        infos += await pipeline.execute(raise_on_error=False)
    return _fleet(infos)


def shared(client: redis.Redis, known: Fleet | None = None) -> Fleet:
    """What one process has read for all, at most `FRESH_SECONDS` ago; who finds nothing reads, one at a time.

    `known` is what this process saw last: it does for as long as another one reads. Raises redis.RedisError.
    """
    found = left(client)
    if found is not None:
        return found
    try:
        mine = client.set(keys.FLEET_READER, b"1", nx=True, px=int(READING_SECONDS * 1000))
    except redis.ResponseError:  # Redis is full, say
        mine = False
    if not mine and known is not None:
        return known
    fleet = read(client)
    if mine:
        client.set(keys.FLEET, packed(fleet), px=int(FRESH_SECONDS * 1000))
    return fleet


def left(client: redis.Redis) -> Fleet | None:
    """What a worker has left for others, if anything: who only pushes need not read a fleet beside which there is one.

    Such a user of Redis may not be allowed to look.
    """
    try:
        return unpacked(client.get(keys.FLEET))
    except redis.ResponseError:
        return None


async def aleft(client: redis.asyncio.Redis) -> Fleet | None:
    """The same for asyncio."""
    try:
        return unpacked(await client.get(keys.FLEET))
    except redis.ResponseError:
        return None


def packed(fleet: Fleet) -> bytes:
    """A fleet as it is left for others."""
    versions = sorted(fleet.versions, key=str)
    return dumps({"format": _FORMAT, "versions": versions, "peers": fleet.peers})


def unpacked(found: object) -> Fleet | None:
    """What another process has left; None when that is nothing, or nothing that this version knows."""
    told = untrusted.mapping(found)
    if told is None or told.get("format") != _FORMAT:
        return None
    versions, peers = told.get("versions"), told.get("peers")
    if not isinstance(versions, list) or not isinstance(peers, int):
        return None
    if not all(one is None or isinstance(one, str) for one in versions):
        return None
    return Fleet(frozenset(versions), peers)


def chosen(setting: str, fleet: Fleet) -> Dialect:
    """The dialect of new payloads: the `wire` setting, or what the fleet speaks."""
    return {"6": SIX, "7": SEVEN, "8": EIGHT}.get(setting, fleet.dialect)


def _none_of(error: redis.ResponseError) -> list[Any]:
    """What a key of another type names: nobody. Raises any other error."""
    if not is_wrong_type(error):
        raise error
    return []


def _portions(identities: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for at in range(0, len(identities), _PORTION):
        yield identities[at : at + _PORTION]


def _fleet(infos: Iterable[Any]) -> Fleet:
    versions: set[str | None] = set()
    peers = 0
    for raw in infos:
        info = untrusted.mapping(raw)
        if info is None:
            continue
        if "pykiq" in info:
            peers += 1
        else:
            version = info.get("version")
            versions.add(version if isinstance(version, str) else None)
    return Fleet(frozenset(versions), peers)

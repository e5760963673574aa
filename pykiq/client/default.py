"""The clients behind `perform_async` and its kin: one of each kind, made when first needed."""

from __future__ import annotations

from pykiq.client.aio import AsyncClient
from pykiq.client.configure import current
from pykiq.client.sync import Client

_client: Client | None = None
_async_client: AsyncClient | None = None


def client() -> Client:
    """The Client of the current Config; a new one after `pykiq.configure`."""
    global _client
    mine, config = _client, current()
    if mine is None or mine.config is not config:
        # The one before is not closed: another thread may be pushing with it. Its connections go when it does.
        mine = _client = Client(config)
    return mine


def async_client() -> AsyncClient:
    """The AsyncClient of the current Config; a new one after `pykiq.configure`."""
    global _async_client
    mine, config = _async_client, current()
    if mine is None or mine.config is not config:
        mine = _async_client = AsyncClient(config)
    return mine

"""Every test declares its jobs into an empty registry and pushes them to an empty database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import pykiq
from pykiq.client import configure
from pykiq.jobs.registry import registry


@pytest.fixture(autouse=True)
def own_registry() -> Iterator[None]:
    """What a test declares is gone after it; what other files declared is back."""
    before = dict(registry._handlers)
    registry.clear()
    yield
    registry._handlers = before


@pytest.fixture(autouse=True)
def own_middleware() -> Iterator[None]:
    chains = (pykiq.client_middleware, pykiq.server_middleware)
    before = [chain.entries for chain in chains]
    yield
    for chain, entries in zip(chains, before, strict=True):
        chain.entries = entries  # type: ignore[attr-defined]


@pytest.fixture
def configured(redis_url: str) -> Iterator[pykiq.Config]:
    """`pykiq.configure` with the test's server, in Sidekiq 8's dialect."""
    yield pykiq.configure(redis=redis_url, wire="8")
    configure.forget()

"""Every test declares its jobs into an empty registry; no server runs at the configured address."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import pykiq
from pykiq.client import configure
from pykiq.jobs.lifecycle import lifecycle
from tests.jobs.conftest import own_middleware, own_registry

__all__ = ["own_middleware", "own_registry"]


@pytest.fixture(autouse=True)
def no_redis() -> Iterator[None]:
    pykiq.configure(redis="redis://127.0.0.1:1/0")
    yield
    configure.forget()


@pytest.fixture(autouse=True)
def own_hooks() -> Iterator[None]:
    lifecycle.clear()
    yield
    lifecycle.clear()

"""Handlers of a test run inline, through both chains, with nothing installed before and after."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import pykiq
from pykiq.jobs.context import JobContext
from pykiq.jobs.registry import registry
from pykiq.middleware.around import run_server
from tests.captures import FIXTURES


@pytest.fixture(autouse=True)
def own_registry() -> Iterator[None]:
    before = dict(registry._handlers)
    registry.clear()
    yield
    registry._handlers = before


def steps(gem: str, name: str) -> list[dict[str, Any]]:
    """The steps of a gem's capture."""
    found: list[dict[str, Any]] = json.loads((FIXTURES / gem / f"{name}.json").read_text("utf-8"))["steps"]
    return found


def execute(payload: dict[str, Any], work: Any = lambda: None) -> None:
    """Run a payload inside the server chain, as a worker does."""
    run_server(pykiq.server_middleware, JobContext(payload, payload.get("queue", "default")), work)

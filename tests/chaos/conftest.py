"""Fixtures of the chaos tests: a server and a fleet of their own for each, and a seed that is printed."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.fleet import Fleet, fleet
from tests.servers import Server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/chaos" in item.path.as_posix():
            item.add_marker(pytest.mark.chaos)


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[object], None]:
    """Print a line that is seen in the test's output also when the test passes."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def write(what: object) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n  {request.node.name}: {what}", end="", flush=True)  # noqa: T201

    return write


@pytest.fixture
def rng(say: Callable[[object], None]) -> random.Random:
    """The random moments of a test. CHAOS_SEED repeats a run, as far as two processes can be repeated."""
    seed = int(os.environ.get("CHAOS_SEED") or time.time_ns() % 1_000_000)
    say(f"CHAOS_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def crew(tmp_path: Path, victim: Server) -> Iterator[Fleet]:
    with fleet(tmp_path, victim) as made:
        yield made

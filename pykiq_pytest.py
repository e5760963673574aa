"""The pytest plugin of pykiq: the fixture `pykiq_jobs`, and a warning of pushes to a real Redis that nobody meant.

Beside the package and not in it: pytest imports the plugins of all that is installed, and a project whose tests do not
use this one should not import pykiq for it. pykiq's clients find it among the loaded modules, and tell it of a push.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pykiq.testing import Jobs

REAL_REDIS = "pykiq_real_redis"
"""The marker of a test, and the option in pytest's configuration, that say: pushes to a real Redis are meant."""


class RealRedisWarning(UserWarning):
    """A test has pushed to a real Redis without having said that it means to."""


@pytest.fixture
def pykiq_jobs(request: pytest.FixtureRequest) -> Iterator[Jobs]:
    """Pushes stay in memory for this test: see them, assert about them, `drain()` them. `pykiq.testing.Jobs`.

    A test with the marker `pykiq_real_redis` pushes to Redis all the same: the fixture may be there for all tests.
    """
    from pykiq.testing import disable, fake

    with fake() as jobs:
        if request.node.get_closest_marker(REAL_REDIS):
            with disable():
                yield jobs
        else:
            yield jobs


class _Session:
    """One run of pytest; inside of another one where a plugin's tests run pytest in their own process."""

    def __init__(self, config: pytest.Config) -> None:
        self.is_meant: bool = config.getini(REAL_REDIS)
        self.item: pytest.Item | None = None
        self.has_warned = False


_sessions: list[_Session] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(REAL_REDIS, "The tests push to a real Redis on purpose: pykiq does not warn of it.", "bool", False)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{REAL_REDIS}: pushes to a real Redis on purpose; `pykiq_jobs` lets them pass")
    _sessions.append(_Session(config))


def pytest_unconfigure() -> None:
    if _sessions:
        _sessions.pop()


@pytest.hookimpl(hookwrapper=True)  # not `wrapper`, which pytest 7 does not know
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    session = _sessions[-1]
    session.item = item
    yield
    session.item = None


def pushing(redis: str, stacklevel: int) -> None:
    """Warn, once in a run, unless the push is meant. pykiq's clients call this before each push to a real Redis.

    `redis` says which Redis. Where the warning is made an error, it is raised at every such push, before it is sent.
    """
    if not _sessions:
        return
    session = _sessions[-1]
    meant = session.is_meant or (session.item is not None and session.item.get_closest_marker(REAL_REDIS))
    if meant or session.has_warned:
        return
    warnings.warn(
        f"a test pushes to a real Redis, {redis}; keep pushes in memory with the fixture pykiq_jobs, or, where they"
        f" are meant, say so: the marker {REAL_REDIS}, or `{REAL_REDIS} = true` in pytest's configuration"
        " (said once; docs/testing.md)",
        RealRedisWarning,
        stacklevel=stacklevel + 1,
    )
    session.has_warned = True

"""Fixtures for all tests: one real server for the session, an empty database for each test that asks for one."""

from __future__ import annotations

import gc
import inspect
import os
import signal
import socket
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import redis as redis_py

from tests.servers import MISSING, Server

pytest_plugins = ["pykiq_pytest"]  # found by itself where the package is installed; here also where it is not

for _size in (
    "COLUMNS",
    "LINES",
):  # readline, which pytest imports, exports those of a small terminal: to xdist's workers
    os.environ.pop(_size, None)

_STARTERS = frozenset({"Server", "Sentinel"})  # of tests/servers.py and tests/sentinels.py


def pytest_configure() -> None:
    """A shell starts what it runs in the background with Ctrl-C ignored, and what tests start would be deaf to it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark `server` on what starts one, itself or through a fixture: `make test-redis` runs it on Redis too."""
    for item in items:
        if isinstance(item, pytest.Function):
            definitions = item._fixtureinfo.name2fixturedefs.values()
            functions = [item.function, *(definition.func for several in definitions for definition in several)]
            if any(_STARTERS.intersection(inspect.unwrap(one).__code__.co_names) for one in functions):
                item.add_marker("server")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let all tests that lack the same thing be one line of the summary, which has one for each place otherwise."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple) and any(one in report.longrepr[2] for one in MISSING):
        report.longrepr = (str(Path(__file__).parent), 0, report.longrepr[2])
    return report


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    """A worker that has run in this process has frozen what was there: who looks for references, as hypothesis does
    before its first test, would not find them."""
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A real Valkey (or what PYKIQ_TEST_SERVER names) for the whole session."""
    running = Server().start()
    yield running
    running.stop()


@pytest.fixture
def redis_url(server: Server, redis: redis_py.Redis) -> str:
    """The URL of an empty database."""
    return server.url


@pytest.fixture
def redis(server: Server) -> Iterator[redis_py.Redis]:
    """A client of an empty database (bytes in, bytes out)."""
    with server.client() as client:
        client.flushall()
        yield client


@pytest.fixture
def victim(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server for one test alone. `indirect` parametrization with True gives one that writes everything to disk."""
    server = Server(aof=getattr(request, "param", False)).start()
    yield server
    server.stop()


@pytest.fixture
def store(victim: Server) -> Iterator[redis_py.Redis]:
    """Its client."""
    with victim.client() as client:
        yield client


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """What systemd listens at: the address is NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(tmp_path / "notify"))
        bound.settimeout(20)
        yield bound

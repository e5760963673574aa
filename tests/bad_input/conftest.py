"""One server and one worker for the folder. After the last test the worker must still stop as a healthy one does."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import pytest
import redis as redis_py

from tests.bad_input.bench import SETS, Bench
from tests.servers import Server, free_port


@pytest.fixture(scope="session")
def own_server() -> Iterator[Server]:
    server = Server(options=("--proto-max-bulk-len", "512mb")).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def shared(own_server: Server) -> Iterator[Bench]:
    port = free_port()
    with own_server.client() as client:
        bench = Bench(client, own_server.url, metrics_port=port, metrics_host="127.0.0.1").start()
        bench.goes_on()
        yield bench
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert b'pykiq_jobs_total{class="GoodJob",outcome="done"' in answer.read().replace(b'queue="default",', b"")
        assert bench.stop() == 0
        assert bench.in_flight() == []


@pytest.fixture
def bench(shared: Bench) -> Iterator[Bench]:
    """The shared worker, with empty sets and queues."""
    shared.redis.delete("queue:default", *SETS)
    shared.ran.clear()
    yield shared
    assert shared.code is None, "the worker has stopped"


@pytest.fixture
def client(own_server: Server) -> Iterator[redis_py.Redis]:
    """An empty database beside the shared worker's, for a worker with other settings."""
    with own_server.client() as other:
        other.select(1)
        other.flushdb()
        yield other

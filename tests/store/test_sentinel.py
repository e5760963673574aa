"""Sentinel: the master is found by its service's name, and found again after a fail-over. Real Sentinels, no mock."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py

from pykiq.client.sync import Client
from pykiq.config import Config
from pykiq.store.connection import aclose, aconnect, connect
from tests.servers import Server, binary, free_port, wait_until

pytestmark = pytest.mark.system


class Sentinel:
    """One Sentinel process that watches one master under the name `main`."""

    def __init__(self, master: Server) -> None:
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="pykiq-sentinel-")
        settings = Path(self._folder.name) / "sentinel.conf"
        settings.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self._folder.name}\n"
            f"sentinel monitor main 127.0.0.1 {master.port} 1\n"
            "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n"
        )
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen([binary(), str(settings), "--sentinel"], stdout=quiet, stderr=quiet)

    def ask(self, *command: str) -> list[bytes] | None:
        try:
            with redis_py.Redis(port=self.port, protocol=2) as client:
                answer: list[bytes] | None = client.execute_command(*command)
                return answer
        except redis_py.RedisError:
            return None

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


@pytest.fixture
def master() -> Iterator[Server]:
    running = Server().start()
    yield running
    running.stop()


@pytest.fixture
def replica(master: Server) -> Iterator[Server]:
    running = Server(options=("--replicaof", "127.0.0.1", str(master.port), "--repl-diskless-sync-delay", "0")).start()
    with running.client() as client:
        wait_until(lambda: client.info("replication")["master_link_status"] == "up", 15, "the replica's link")
    yield running
    running.stop()


@pytest.fixture
def sentinel(master: Server, replica: Server) -> Iterator[Sentinel]:
    watching = Sentinel(master)
    wait_until(lambda: watching.ask("SENTINEL", "REPLICAS", "main"), 20, "Sentinel's knowledge of the replica")
    yield watching
    watching.stop()


def url(sentinel: Sentinel, db: int = 0) -> str:
    return f"redis+sentinel://127.0.0.1:{sentinel.port}/main/{db}"


async def test_both_kinds_of_client_find_the_master_and_its_database(sentinel: Sentinel, master: Server) -> None:
    config = Config.of(redis=url(sentinel, db=3))
    with connect(config) as client:
        client.set("sync", "1")
    other = aconnect(config)
    await other.set("async", "1")
    await aclose(other)
    with redis_py.Redis(port=master.port, db=3) as there:
        assert there.exists("sync", "async") == 2


def test_pushes_go_to_the_new_master_after_a_fail_over(sentinel: Sentinel, master: Server, replica: Server) -> None:
    with Client(Config.of(redis=url(sentinel))) as client:
        client.push({"class": "BeforeJob", "args": []})
        with replica.client() as there:
            wait_until(lambda: there.llen("queue:default") == 1, 10, "the first job on the replica")
        master.kill()

        def pushed() -> bool:
            try:
                return client.push({"class": "AfterJob", "args": []}) is not None
            except redis_py.RedisError:
                return False  # nobody is master yet: the caller is told, and decides

        wait_until(pushed, 30, "a push to the new master")
    with replica.client() as there:
        assert there.llen("queue:default") >= 2
        assert b"AfterJob" in there.lrange("queue:default", 0, 0)[0]

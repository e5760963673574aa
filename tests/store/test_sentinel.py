"""Sentinel: the master is found by its service's name, and found again after a fail-over. Real Sentinels, no mock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
import redis as redis_py

from pykiq.client.sync import Client
from pykiq.config import Config
from pykiq.store.connection import aclose, aconnect, connect
from pykiq.store.standing import StandingOrders
from tests.sentinels import Sentinel
from tests.servers import Server, wait_until
from tests.store.jobs import berth

pytestmark = pytest.mark.system


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


async def test_both_kinds_of_client_find_the_master_and_its_database(sentinel: Sentinel, master: Server) -> None:
    config = Config.of(redis=sentinel.url(db=3))
    with connect(config) as client:
        client.set("sync", "1")
    other = aconnect(config)
    await other.set("async", "1")
    await aclose(other)
    with redis_py.Redis(port=master.port, db=3) as there:
        assert there.exists("sync", "async") == 2


def test_pushes_go_to_the_new_master_after_a_fail_over(sentinel: Sentinel, master: Server, replica: Server) -> None:
    with Client(Config.of(redis=sentinel.url())) as client:
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


def test_standing_orders_are_given_to_the_new_master_after_a_fail_over(
    sentinel: Sentinel, master: Server, replica: Server
) -> None:
    orders = StandingOrders(berth(), connect(Config.of(redis=sentinel.url())))
    orders.top_up()
    with master.client() as there:
        wait_until(lambda: there.info("clients")["blocked_clients"] == 1, what="an order at the old master")
    master.kill()
    with replica.client() as there:

        def given() -> bool:
            with suppress(redis_py.RedisError, OSError):
                orders.top_up()
            return bool(there.info("clients")["blocked_clients"] == 1)

        wait_until(given, 30, "an order at the new master")
    orders.close()

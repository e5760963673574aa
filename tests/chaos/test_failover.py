"""Sentinel promotes a replica under load. What the old master had not passed on is Redis's own to lose."""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from redis.sentinel import Sentinel as Asked

from tests.chaos.fleet import account, fleet, hurry, in_flight, left, mixed, payload
from tests.chaos.pusher import Pusher
from tests.sentinels import Sentinel
from tests.servers import Server, wait_until

SAFE = 500  # jobs that a replica has confirmed
BOLD = 250  # jobs that only the master has
LOAD = 0.006  # seconds between two pushes


@pytest.fixture
def pair() -> Iterator[list[Server]]:
    """A master and its replica."""
    master = Server().start()
    options = ("--replicaof", "127.0.0.1", str(master.port), "--repl-diskless-sync-delay", "0")
    replica = Server(options=options).start()
    with replica.client() as client:
        wait_until(lambda: client.info("replication")["master_link_status"] == "up", 15, "the replica's link")
    yield [master, replica]
    master.stop()
    replica.stop()


@pytest.fixture
def sentinel(pair: list[Server]) -> Iterator[Sentinel]:
    watching = Sentinel(pair[0])
    wait_until(lambda: watching.ask("SENTINEL", "REPLICAS", "main"), 20, "Sentinel's knowledge of the replica")
    yield watching
    watching.stop()


def port(sentinel: Sentinel) -> int:
    """Where Sentinel says that the master is."""
    address = sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
    return int(address[1]) if address else 0


def replicated(sentinel: Sentinel) -> bool:
    """Whether the master has a replica that follows."""
    with contextlib.suppress(redis.RedisError), redis.Redis(port=port(sentinel), protocol=2) as client:
        return client.role()[0] == b"master" and bool(client.info("replication")["connected_slaves"])
    return False


@pytest.mark.parametrize("end", ["killed", "asked"])
def test_no_job_that_a_replica_had_is_lost_when_the_replica_is_promoted_under_load(
    pair: list[Server],
    sentinel: Sentinel,
    tmp_path: Path,
    rng: random.Random,
    say: Callable[[object], None],
    end: str,
) -> None:
    def master() -> redis.Redis:
        return Asked([("127.0.0.1", sentinel.port)], protocol=2).master_for("main", protocol=2, socket_timeout=3)

    with fleet(tmp_path, pair[0]) as crew:
        workers = [crew.start("-c", "4", url=sentinel.url()).ready() for _ in range(2)]
        safe = Pusher(master, mixed(SAFE, rng), LOAD, replicated=True)
        bold = Pusher(master, (payload(SAFE + number) for number in range(BOLD)), LOAD)
        time.sleep(rng.uniform(0.5, 2.0))
        before = port(sentinel)
        if end == "killed":
            pair[0].kill()
        else:
            sentinel.ask("SENTINEL", "FAILOVER", "main")
        wait_until(lambda: port(sentinel) != before, 30, "another master")
        if end == "killed":
            pair[0].start()  # Sentinel makes it a replica
        wait_until(lambda: replicated(sentinel), 30, "the old master following the new one")
        safe.finish()
        bold.finish()
        with master() as client:
            wait_until(lambda: finished(client), 60, "an empty queue, no retries, nothing in flight")
            report = account(client, crew.ledger, SAFE + BOLD)
            ours = [number for number in report.lost if number < SAFE]
            say(
                f"{report}; of the lost, {len(report.lost) - len(ours)} were Redis's to lose;"
                f" {safe.repeated + bold.repeated} pushes repeated"
            )
            assert ours == [], json.dumps(ours)
            assert [worker.stop() for worker in workers] == [0, 0]
            assert in_flight(client) == []


def finished(client: redis.Redis) -> bool:
    with contextlib.suppress(redis.RedisError):
        hurry(client)
        return left(client) == 0
    return False

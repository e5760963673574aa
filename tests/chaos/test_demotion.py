"""A master is demoted without Sentinel, behind a name that leads elsewhere then: connections to the old stay open."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

import pykiq
from pykiq.config import Config
from tests.chaos.fleet import account, finish, fleet, in_flight
from tests.chaos.proxy import Proxy
from tests.servers import Server, wait_until

BEFORE, AFTER = 60, 60  # jobs


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


@pytest.mark.parametrize("options", [(), ("--processes", "2")], ids=["one process", "a swarm"])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_workers_go_on_at_the_new_master_and_so_do_clients(
    pair: list[Server],
    tmp_path: Path,
    rng: random.Random,
    say: Callable[[object], None],
    busy: bool,
    options: tuple[str, ...],
) -> None:
    proxy = Proxy(pair[0].port)
    processes = 2 if options else 1
    with (
        fleet(tmp_path, pair[0]) as crew,
        pair[0].client() as old,
        pair[1].client() as new,
        pykiq.Client(Config.of(redis=proxy.url)) as client,
    ):
        worker = crew.start("-c", "4", *options, url=proxy.url, settings={}).ready(processes)
        for number in range(BEFORE):
            client.push({"class": "QuickJob", "args": [number, 0.1 if busy else 0.0]})
        if not busy:
            finish(old)
        old.wait(1, 5000)
        # The replica first: of two masters, one that is about to be demoted would lose what it takes meanwhile.
        old.execute_command("CLIENT", "PAUSE", "300", "WRITE")
        new.execute_command("REPLICAOF", "NO", "ONE")
        old.execute_command("REPLICAOF", "127.0.0.1", pair[1].port)
        time.sleep(rng.uniform(0.0, 1.5))
        proxy.switch(pair[1].port)
        begun = time.monotonic()
        for number in range(BEFORE, BEFORE + AFTER):
            with contextlib.suppress(redis.RedisError):
                client.push({"class": "QuickJob", "args": [number]})
                continue
            pytest.fail("a push was refused after the name had led to the new master")
        finish(new, 30)
        report = account(new, crew.ledger, BEFORE + AFTER)
        say(f"{report}; the last {time.monotonic() - begun:.1f} s after the switch")
        assert report.lost == []
        wait_until(lambda: len(leases(new)) == processes, 10, "a lease of each process")
        if not options:
            wait_until(lambda: ordered(new), 10, "standing orders")
        wait_until(lambda: waiting(new) == processes, 10, "waiters")
        assert not worker.told("took_over")
        assert worker.stop() == 0
        assert in_flight(new) == []
    proxy.close()


def leases(client: redis.Redis) -> list[bytes]:
    return sorted(client.scan_iter("pykiq:lease:*", count=1000))


def ordered(client: redis.Redis) -> bool:
    return any(one["cmd"] == "brpop" for one in client.client_list())


def waiting(client: redis.Redis) -> int:
    return sum(one["cmd"] == "blmove" for one in client.client_list())

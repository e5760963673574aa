"""Redis that goes away, hangs, forgets its scripts or never answers, while workers are at work."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from tests.chaos.fleet import Fleet, account, finish, in_flight, mixed, payload, push
from tests.chaos.proxy import Proxy
from tests.chaos.pusher import Pusher
from tests.servers import Server, free_port, wait_until

JOBS = 1000


def settle_down(store: redis.Redis, crew: Fleet, say: Callable[[object], None], notes: str, jobs: int = JOBS) -> None:
    """Nothing lost, the same processes still there, and nothing in flight."""
    finish(store)
    report = account(store, crew.ledger, jobs)
    say(f"{report}, {notes}")
    assert report.lost == []
    assert [worker.process.poll() for worker in crew.workers] == [None] * len(crew.workers), "a worker gave up"
    assert [worker.stop() for worker in crew.workers] == [0] * len(crew.workers)
    assert in_flight(store) == []


@pytest.mark.parametrize("victim", [True], indirect=True, ids=["aof"])
def test_no_acknowledged_push_is_lost_when_redis_is_killed_and_restarted_under_load(
    crew: Fleet, victim: Server, store: redis.Redis, rng: random.Random, say: Callable[[object], None]
) -> None:
    for _ in range(2):
        crew.start("-c", "5")
    for worker in crew.workers:
        worker.ready()
    pusher = Pusher(victim.client, mixed(JOBS, rng), 0.003)
    for _ in range(5):
        time.sleep(rng.uniform(0.2, 1.0))
        victim.kill()
        time.sleep(rng.uniform(0.0, 0.4))
        victim.start()
    pusher.finish()
    settle_down(store, crew, say, f"Redis killed 5 times, {pusher.repeated} pushes repeated")


@pytest.mark.parametrize("victim", [True], indirect=True, ids=["aof"])
def test_no_job_runs_twice_because_redis_was_away_for_longer_than_the_leases_last(
    crew: Fleet, victim: Server, store: redis.Redis, rng: random.Random, say: Callable[[object], None]
) -> None:
    """All leases have run out when it comes back, and all processes live."""
    for _ in range(4):
        crew.start("-c", "2", settings={"lease_ttl": 4.0, "sweep_interval": 0.2, "poll_interval": 0.2})
    for worker in crew.workers:
        worker.ready()
    push(store, [payload(number, "QuickJob", 12.0) for number in range(8)])
    wait_until(lambda: not store.llen("queue:default"), 10, "every job running")
    victim.kill()
    time.sleep(rng.uniform(5.0, 6.0))
    victim.start()
    settle_down(store, crew, say, "Redis away for longer than the leases last", jobs=8)
    assert [worker.told("took_over") for worker in crew.workers] == [[]] * 4
    assert max(crew.ledger.count().values()) == 1


@pytest.fixture
def proxy(victim: Server) -> Iterator[Proxy]:
    made = Proxy(victim.port)
    yield made
    made.close()


def test_no_job_is_lost_when_the_connection_is_cut_and_healed_ten_times(
    crew: Fleet, victim: Server, store: redis.Redis, proxy: Proxy, rng: random.Random, say: Callable[[object], None]
) -> None:
    crew.start("-c", "5", url=proxy.url).ready()
    pusher = Pusher(victim.client, mixed(JOBS, rng), 0.004)
    for _ in range(10):
        time.sleep(rng.uniform(0.05, 0.5))
        proxy.cut(rng.uniform(0.05, 0.5))
    pusher.finish()
    settle_down(store, crew, say, "connection cut 10 times")


def test_no_job_is_lost_when_redis_does_what_it_is_told_and_the_answers_never_arrive(
    crew: Fleet, victim: Server, store: redis.Redis, proxy: Proxy, rng: random.Random, say: Callable[[object], None]
) -> None:
    crew.start("-c", "5", url=proxy.url).ready()
    pusher = Pusher(victim.client, mixed(JOBS, rng), 0.004)
    for _ in range(10):
        time.sleep(rng.uniform(0.05, 0.4))
        proxy.half(rng.uniform(0.01, 0.2))
    pusher.finish()
    assert proxy.swallowed > 0
    settle_down(store, crew, say, f"10 times answers swallowed, {proxy.swallowed} bytes in all")


def test_a_job_moved_for_a_client_that_has_gone_is_still_run_by_this_process(
    crew: Fleet, store: redis.Redis, proxy: Proxy, say: Callable[[object], None]
) -> None:
    """The idle worker blocks in BLMOVE; the network drops the connection, and Redis does not hear of it for seconds."""
    crew.start("-c", "5", url=proxy.url).ready()
    push(store, [payload(0)])
    wait_until(lambda: crew.ledger.count()[0], 10, "the first job done")
    wait_until(lambda: waiting(store), 10, "an idle worker waiting")
    blocked = waiting(store)
    proxy.half(0.0, linger=8.0)
    wait_until(lambda: waiting(store) - blocked, 10, "a new waiter")
    push(store, [payload(number) for number in (1, 2, 3)])
    pushed = time.monotonic()
    wait_until(lambda: len(crew.ledger.count()) == 4, 30, "all four jobs done")
    say(f"done {time.monotonic() - pushed:.1f} s after the push")
    settle_down(store, crew, say, "one connection dropped on one side only", jobs=4)


def test_a_job_moved_for_a_process_that_has_stopped_meanwhile_is_run_by_another_one(
    crew: Fleet, store: redis.Redis, proxy: Proxy, say: Callable[[object], None]
) -> None:
    """The same, and the process stops while Redis still keeps its waiter: nobody of it will ever ask for that job."""
    patient = {"lease_ttl": 6.5, "sweep_interval": 0.5}
    stopping = crew.start("-c", "5", url=proxy.url, settings=patient).ready()
    push(store, [payload(0)])
    wait_until(lambda: crew.ledger.count()[0], 10, "the first job done")
    wait_until(lambda: waiting(store, youngest=1), 10, "a waiter that has just begun to wait")
    proxy.half(0.0, linger=8.0)
    assert stopping.stop() == 0
    push(store, [payload(1)])
    wait_until(lambda: in_flight(store), 2, "the job in the hands of the process that has stopped")
    heir = crew.start("-c", "5", settings=patient).ready()
    wait_until(lambda: crew.ledger.count()[1], 20, "the second job done")
    assert heir.stop() == 0
    assert in_flight(store) == []


def waiting(store: redis.Redis, youngest: int = 60) -> set[str]:
    """The connections that block in a BLMOVE now, for `youngest` seconds at most."""
    blocked = [client for client in store.client_list() if client["cmd"] == "blmove" and "b" in client["flags"]]
    return {client["id"] for client in blocked if int(client["idle"]) <= youngest}


def test_no_job_is_lost_and_none_stays_behind_when_redis_is_paused_under_load(
    crew: Fleet, victim: Server, store: redis.Redis, rng: random.Random, say: Callable[[object], None]
) -> None:
    crew.start("-c", "5").ready()
    pusher = Pusher(victim.client, mixed(JOBS, rng), 0.002)
    for _ in range(5):
        time.sleep(rng.uniform(0.05, 0.3))
        store.client_pause(int(rng.uniform(50, 400)), all=rng.random() < 0.5)
    # Longer than any command waits for its answer: every connection gives up in the middle.
    store.client_pause(6500, all=False)
    pusher.finish()
    settle_down(store, crew, say, "CLIENT PAUSE 6 times, once for 6.5 s")


def test_no_job_is_lost_when_the_server_process_hangs_longer_than_any_client_waits(
    crew: Fleet, victim: Server, store: redis.Redis, rng: random.Random, say: Callable[[object], None]
) -> None:
    crew.start("-c", "5").ready()
    pusher = Pusher(victim.client, mixed(JOBS, rng), 0.002)
    wait_until(lambda: len(crew.ledger.count()) > 100, 20, "work under way")
    assert victim.process is not None
    victim.process.send_signal(signal.SIGSTOP)
    time.sleep(rng.uniform(6.0, 8.0))
    victim.process.send_signal(signal.SIGCONT)
    pusher.finish()
    settle_down(store, crew, say, "the server stopped for some seconds")


def test_no_job_is_lost_when_redis_forgets_its_scripts_under_load(
    crew: Fleet, victim: Server, store: redis.Redis, rng: random.Random, say: Callable[[object], None]
) -> None:
    crew.start("-c", "5").ready()
    pusher = Pusher(victim.client, mixed(JOBS, rng), 0.002)
    flushes = 0
    while pusher.pushed < JOBS:
        store.script_flush()
        flushes += 1
        time.sleep(rng.uniform(0.0, 0.1))
    settle_down(store, crew, say, f"SCRIPT FLUSH {flushes} times")


def test_a_worker_outlives_a_redis_that_refuses_every_write_for_a_while(
    crew: Fleet, victim: Server, store: redis.Redis, rng: random.Random, say: Callable[[object], None]
) -> None:
    """Out of memory; demoted to a replica, which throws idle waiters out with an error, and made master again."""
    crew.start("-c", "5").ready()
    push(store, mixed(200, rng))
    for _ in range(3):
        with contextlib.suppress(redis.RedisError):
            store.config_set("maxmemory", 1)
        time.sleep(rng.uniform(0.2, 0.6))
        store.config_set("maxmemory", 0)
        finish(store, 30)
        wait_until(lambda: waiting(store), 10, "an idle worker waiting")
        store.execute_command("REPLICAOF", "127.0.0.1", str(free_port()))
        time.sleep(rng.uniform(0.2, 0.6))
        store.execute_command("REPLICAOF", "NO", "ONE")
    push(store, [payload(number) for number in range(200, 300)])
    settle_down(store, crew, say, "out of memory 3 times, demoted 3 times", jobs=300)


def test_a_redis_that_is_full_is_worked_off_also_by_a_worker_that_starts_now(
    crew: Fleet, store: redis.Redis, rng: random.Random, say: Callable[[object], None]
) -> None:
    """Else it would stay full."""
    push(store, mixed(200, rng))
    store.config_set("maxmemory", 1)
    crew.start("-c", "5")
    wait_until(lambda: len(crew.ledger.count()) == 200, 30, "every job run")
    finish(store, 30)
    wait_until(lambda: not in_flight(store), 10, "every job settled")
    store.config_set("maxmemory", 0)
    settle_down(store, crew, say, "full from before the start", jobs=200)

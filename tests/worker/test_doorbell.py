"""Doorbells: one job per arming, let go at once, never deaf."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import redis as redis_py

from pykiq.config import Config
from pykiq.store.connection import connect
from pykiq.worker.doorbell import BLOCK, MARGIN, Doorbell, Ring
from tests.servers import wait_until
from tests.store.jobs import berth
from tests.worker.stage import push, raw, threads_here

PLACE = berth()


class Door:
    def __init__(self, url: str) -> None:
        self.rings: queue.SimpleQueue[Ring] = queue.SimpleQueue()
        client = connect(Config.of(redis=url), timeout=BLOCK + MARGIN)
        self.bell = Doorbell("default", "default", PLACE, client, self.rings.put)

    def next(self) -> Ring:
        return self.rings.get(timeout=5)


@pytest.fixture
def door(redis: redis_py.Redis, redis_url: str) -> Iterator[Door]:
    made = Door(redis_url)
    yield made
    made.bell.disarm(redis)
    made.bell.close()
    wait_until(lambda: not [one for one in threads_here() if one.name == "pykiq-door-default"])


@pytest.fixture
def blocked(redis: redis_py.Redis) -> Callable[[], int]:
    return lambda: int(redis.info("clients")["blocked_clients"])


def test_a_job_that_arrives_is_in_flight_before_the_bell_rings(redis: redis_py.Redis, door: Door) -> None:
    door.bell.arm()
    push(redis, raw("Job", 1))
    ring = door.next()
    assert ring.claimed is not None
    assert (ring.capsule, ring.queue, ring.claimed.raw) == ("default", "default", raw("Job", 1))
    assert redis.lrange(PLACE.inflight("default"), 0, -1) == [raw("Job", 1)]
    assert redis.llen("queue:default") == 0


def test_one_arming_brings_one_job(redis: redis_py.Redis, door: Door) -> None:
    push(redis, raw("Job", 1), raw("Job", 2))
    door.bell.arm()
    ring = door.next()
    assert ring.claimed is not None
    assert ring.claimed.raw == raw("Job", 1), "the oldest"
    wait_until(lambda: door.bell.parked)
    assert not door.bell.armed
    assert door.rings.empty()
    assert redis.llen("queue:default") == 1
    door.bell.arm()
    door.next()


def test_a_disarmed_doorbell_lets_go_at_once_and_takes_nothing(
    redis: redis_py.Redis, door: Door, blocked: Callable[[], int]
) -> None:
    door.bell.arm()
    wait_until(lambda: blocked() == 1)
    assert not door.bell.parked
    began = time.monotonic()
    door.bell.disarm(redis)
    wait_until(lambda: door.bell.parked)
    assert time.monotonic() - began < 1
    push(redis, raw("Job", 1))
    assert blocked() == 0
    assert redis.llen("queue:default") == 1
    assert door.rings.empty()


def test_arming_and_disarming_in_haste_never_leaves_it_waiting(
    redis: redis_py.Redis, door: Door, blocked: Callable[[], int]
) -> None:
    """What unblocks may arrive before what blocks: said again, it ends the wait."""
    for number in range(100):
        door.bell.arm()
        if number % 3:
            wait_until(lambda: blocked() == 1)
        began = time.monotonic()
        while not door.bell.parked:
            door.bell.disarm(redis)
        assert time.monotonic() - began < 2


def test_no_job_is_lost_between_arming_and_disarming(redis: redis_py.Redis, redis_url: str, door: Door) -> None:
    """Jobs keep coming while the bell is armed and disarmed: each is in the queue or has been rung for."""
    total = 300

    def send() -> None:
        with connect(Config.of(redis=redis_url)) as client:
            for number in range(total):
                push(client, raw("Job", number))

    sender = threading.Thread(target=send)
    sender.start()
    while sender.is_alive():
        door.bell.arm()
        door.bell.disarm(redis)
    sender.join()
    while not door.bell.parked:
        door.bell.disarm(redis)
    rung = [door.rings.get_nowait() for _ in range(door.rings.qsize())]
    brought = [ring.claimed.raw for ring in rung if ring.claimed is not None]
    assert brought == list(reversed(redis.lrange(PLACE.inflight("default"), 0, -1)))
    assert sorted(brought + redis.lrange("queue:default", 0, -1)) == sorted(raw("Job", n) for n in range(total))


def test_a_lost_connection_rings_without_a_job_and_the_bell_works_again(
    redis: redis_py.Redis, door: Door, blocked: Callable[[], int]
) -> None:
    door.bell.arm()
    wait_until(lambda: blocked() == 1)
    redis.client_kill_filter(_type="normal", skipme=True)
    assert door.next().claimed is None
    wait_until(lambda: door.bell.parked)
    door.bell.arm()
    push(redis, raw("Job", 1))
    assert door.next().claimed is not None


@pytest.mark.parametrize("trouble", ["another type", "thrown out"])
def test_an_error_that_redis_answers_does_not_make_it_deaf(
    redis: redis_py.Redis, door: Door, blocked: Callable[[], int], trouble: str
) -> None:
    if trouble == "another type":
        redis.set("queue:default", "text")
    door.bell.arm()
    if trouble == "thrown out":  # as a demoted master does
        wait_until(lambda: blocked() == 1)
        [waiter] = [one for one in redis.client_list() if "b" in one["flags"]]
        redis.execute_command("CLIENT", "UNBLOCK", waiter["id"], "ERROR")
    assert door.next().claimed is None
    redis.delete("queue:default")
    wait_until(lambda: door.bell.parked)
    door.bell.arm()
    push(redis, raw("Job", 1))
    assert door.next().claimed is not None


def test_the_connection_that_was_replaced_while_idle_is_the_one_that_is_unblocked(
    redis: redis_py.Redis, door: Door, blocked: Callable[[], int]
) -> None:
    door.bell.arm()
    push(redis, raw("Job", 1))
    door.next()
    wait_until(lambda: door.bell.parked)
    redis.client_kill_filter(_type="normal", skipme=True)
    while blocked() == 0:  # the first arming may find the old connection dead, and rings without a job
        door.bell.arm()
        time.sleep(0.01)
    began = time.monotonic()
    door.bell.disarm(redis)
    wait_until(lambda: door.bell.parked)
    assert time.monotonic() - began < 1


def test_it_waits_on_longer_than_one_blocking_command(
    redis: redis_py.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykiq.worker.doorbell.BLOCK", 1.0)
    made = Door(redis_url)
    made.bell.arm()

    def calls() -> int:
        return int(redis.info("commandstats").get("cmdstat_blmove", {"calls": 0})["calls"])

    before = calls()
    wait_until(lambda: calls() >= before + 2, 5, "a second wait")
    push(redis, raw("Job", 1))
    assert made.next().claimed is not None
    made.bell.close()


def test_closing_a_doorbell_that_never_waited_starts_nothing(redis_url: str) -> None:
    made = Door(redis_url)
    made.bell.close()
    assert made.bell.parked

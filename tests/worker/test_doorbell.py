"""Doorbells: one job per arming, let go at once, never deaf."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

import pytest
import redis as redis_py

from pykiq.config import Config
from pykiq.records import Claimed
from pykiq.store.connection import connect
from pykiq.worker.doorbell import BLOCK, MARGIN, Doorbell
from pykiq.worker.inbox import Inbox
from tests.servers import wait_until
from tests.store.jobs import berth
from tests.worker.stage import push, raw

PLACE = berth()


class Door:
    """A doorbell and the inbox of the exchange it belongs to."""

    def __init__(self, url: str) -> None:
        self.inbox: Inbox[object] = Inbox()
        self.rings: deque[Claimed | None] = deque()
        self.waits: list[float] = []
        client = connect(Config.of(redis=url), timeout=BLOCK + MARGIN)
        self.bell = Doorbell("default", PLACE, client, self.inbox, self.ring)

    def ring(self, claimed: Claimed | None, waited: float) -> None:
        self.rings.append(claimed)
        self.waits.append(waited)

    def listen(self, seconds: float = 0.0) -> None:
        """What the exchange does between its turns."""
        self.inbox.sleep(seconds)

    def next(self) -> Claimed | None:
        until = time.monotonic() + 5
        while not self.rings and time.monotonic() < until:
            self.listen(0.1)
        return self.rings.popleft()

    def arm_until(self, condition: Callable[[], bool]) -> None:
        """Arm it as the exchange does, turn by turn."""

        def armed() -> bool:
            self.bell.arm()
            self.listen(0.01)
            return condition()

        wait_until(armed, what="an armed doorbell")

    def wait_until_parked(self) -> None:
        def parked() -> bool:
            self.listen(0.01)
            return self.bell.parked

        wait_until(parked, what="a parked doorbell")


@pytest.fixture
def door(redis: redis_py.Redis, redis_url: str) -> Iterator[Door]:
    made = Door(redis_url)
    yield made
    made.bell.close()


@pytest.fixture
def blocked(redis: redis_py.Redis) -> Callable[[], int]:
    return lambda: int(redis.info("clients")["blocked_clients"])


def test_a_job_that_arrives_is_in_flight_before_the_bell_rings(redis: redis_py.Redis, door: Door) -> None:
    door.bell.arm()
    push(redis, raw("Job", 1))
    claimed = door.next()
    assert claimed is not None
    assert (claimed.queue, claimed.raw) == ("default", raw("Job", 1))
    assert redis.lrange(PLACE.inflight("default"), 0, -1) == [raw("Job", 1)]
    assert redis.llen("queue:default") == 0


def test_one_arming_brings_one_job(redis: redis_py.Redis, door: Door) -> None:
    push(redis, raw("Job", 1), raw("Job", 2))
    door.bell.arm()
    claimed = door.next()
    assert claimed is not None
    assert claimed.raw == raw("Job", 1), "the oldest"
    door.wait_until_parked()
    assert not door.bell.armed
    door.listen()
    assert not door.rings
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
    door.wait_until_parked()
    assert time.monotonic() - began < 1
    push(redis, raw("Job", 1))
    assert blocked() == 0
    assert redis.llen("queue:default") == 1
    door.listen()
    assert not door.rings


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
            door.listen()
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
        door.listen()
    sender.join()
    while not door.bell.parked:
        door.bell.disarm(redis)
        door.listen()
    brought = [claimed.raw for claimed in door.rings if claimed is not None]
    assert brought == list(reversed(redis.lrange(PLACE.inflight("default"), 0, -1)))
    assert sorted(brought + redis.lrange("queue:default", 0, -1)) == sorted(raw("Job", n) for n in range(total))


def test_a_lost_connection_rings_without_a_job_and_the_bell_works_again(
    redis: redis_py.Redis, door: Door, blocked: Callable[[], int]
) -> None:
    door.bell.arm()
    wait_until(lambda: blocked() == 1)
    redis.client_kill_filter(_type="normal", skipme=True)
    assert door.next() is None
    door.wait_until_parked()
    door.arm_until(lambda: blocked() == 1)
    push(redis, raw("Job", 1))
    assert door.next() is not None


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
    assert door.next() is None
    redis.delete("queue:default")
    door.wait_until_parked()
    door.arm_until(lambda: blocked() == 1)
    push(redis, raw("Job", 1))
    assert door.next() is not None


def test_the_connection_that_was_replaced_while_idle_is_the_one_that_is_unblocked(
    redis: redis_py.Redis, door: Door, blocked: Callable[[], int]
) -> None:
    door.bell.arm()
    push(redis, raw("Job", 1))
    door.next()
    door.wait_until_parked()
    redis.client_kill_filter(_type="normal", skipme=True)
    door.arm_until(lambda: blocked() == 1)  # the first arming may find the old connection dead
    began = time.monotonic()
    door.bell.disarm(redis)
    door.wait_until_parked()
    assert time.monotonic() - began < 1


def test_it_waits_on_longer_than_one_blocking_command(
    redis: redis_py.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykiq.worker.doorbell.BLOCK", 0.3)
    made = Door(redis_url)
    made.bell.arm()

    def calls() -> int:
        return int(redis.info("commandstats").get("cmdstat_blmove", {"calls": 0})["calls"])

    def waited_again() -> bool:
        made.listen(0.05)
        return calls() >= before + 2

    before = calls()
    wait_until(waited_again, 5, "a second wait")
    push(redis, raw("Job", 1))
    assert made.next() is not None
    made.bell.close()


def test_an_answer_that_does_not_come_is_a_lost_connection(
    redis: redis_py.Redis, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of a connection may be gone without a word: nothing will ever be readable."""
    monkeypatch.setattr("pykiq.worker.doorbell.MARGIN", -BLOCK + 0.05)
    door.bell.arm()
    door.arm_until(lambda: bool(door.rings))
    assert door.next() is None


def test_after_a_lost_connection_it_rests_before_the_next_try(redis: redis_py.Redis, door: Door) -> None:
    redis.set("queue:default", "text")
    rings = 0
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        door.bell.arm()
        door.listen(0.001)
        rings += len(door.rings)
        door.rings.clear()
    assert 1 <= rings <= 2


def test_closing_a_doorbell_that_never_waited_connects_nowhere(redis: redis_py.Redis, redis_url: str) -> None:
    before = redis.info("clients")["connected_clients"]
    made = Door(redis_url)
    made.bell.close()
    assert made.bell.parked
    assert redis.info("clients")["connected_clients"] == before

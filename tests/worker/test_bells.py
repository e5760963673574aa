"""The bells of many queues: what becomes of their connections confuses nothing."""

from __future__ import annotations

import threading

import pytest
import redis as redis_py

from pykiq.config import Config
from pykiq.store.connection import connect
from pykiq.worker.bells import BUSIEST, OFTEN, Bells
from pykiq.worker.doorbell import Doorbell
from pykiq.worker.inbox import Inbox
from pykiq.worker.watch import Watch
from tests.chaos.proxy import Proxy
from tests.servers import Server, wait_until
from tests.store.jobs import berth

MANY = [f"q{number}" for number in range(20)]


def test_one_that_was_replaced_lets_go_when_its_last_answer_never_comes(
    redis: redis_py.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for constant in ("BLOCK", "MARGIN"):
        monkeypatch.setattr(f"pykiq.worker.doorbell.{constant}", 0.3)
    place = berth(*MANY)
    inbox: Inbox[object] = Inbox()
    proxy = Proxy(int(redis.connection_pool.connection_kwargs["port"]))
    swallowing = connect(Config.of(redis=proxy.url), timeout=1.0)

    def client() -> redis_py.Redis:
        return connect(Config.of(redis=redis_url), timeout=1.0)

    def door(queue: str) -> Doorbell:
        return Doorbell(queue, place, swallowing if queue == "q0" else client(), inbox, lambda claimed, waited: None)

    bells = Bells(MANY, door, Watch(place, client, inbox, lambda changed: None))
    try:
        for _ in range(OFTEN):
            bells.changed("q0")
        bells.wait(MANY, redis)
        proxy.swallow()
        for queue in MANY[1 : BUSIEST + 1]:
            for _ in range(3 * OFTEN):
                bells.changed(queue)
        bells.wait(MANY, redis)

        def parked() -> bool:
            inbox.sleep(0.01)
            bells.look_after()
            bells.rest(redis, insist=True)
            return bells.parked()

        wait_until(parked, what="doorbells that have let go")
    finally:
        bells.close()
        proxy.close()


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next(redis: redis_py.Redis, redis_url: str) -> None:
    place = berth(*MANY)
    watch = Watch(place, lambda: connect(Config.of(redis=redis_url), timeout=0.3), Inbox(), lambda changed: None)
    bells = Bells(MANY, lambda queue: pytest.fail(queue), watch)
    try:
        assert bells.ask(MANY)
        redis.lpush("queue:q0", b"one", b"another")
        redis.client_pause(600)
        with pytest.raises((redis_py.RedisError, OSError)):
            bells.fetch(["q0"])
        redis.client_unpause()
        redis.delete("queue:q0")
        redis.lpush("queue:q5", b"a third")
        assert not bells.ask(MANY)
        assert set(MANY) - set(watch.empty) == {"q5"}
    finally:
        bells.close()


def test_a_server_that_is_busy_with_a_script_neither_says_that_queues_are_empty_nor_that_it_cannot_watch_them(
    store: redis_py.Redis, victim: Server
) -> None:
    place = berth(*MANY)
    watch = Watch(place, lambda: connect(Config.of(redis=victim.url), timeout=5.0), Inbox(), lambda changed: None)
    bells = Bells(MANY, lambda queue: pytest.fail(queue), watch)
    store.lpush("queue:q5", b"one")
    store.config_set("busy-reply-threshold", 1)
    assert watch.connected()
    busy = threading.Thread(target=_loop, args=[victim.client()])
    busy.start()
    try:
        wait_until(lambda: _is_busy(store))
        assert not bells.ask(MANY)
        assert not watch.connected()
        assert watch.able
    finally:
        store.script_kill()
        busy.join()
    try:
        wait_until(watch.connected)
        assert not bells.ask(MANY)
        assert set(MANY) - set(watch.empty) == {"q5"}
    finally:
        bells.close()


def _loop(client: redis_py.Redis) -> None:
    with pytest.raises(redis_py.ResponseError), client:
        client.eval("while true do end", 0)


def _is_busy(client: redis_py.Redis) -> bool:
    try:
        client.ping()
    except redis_py.ResponseError:
        return True
    return False

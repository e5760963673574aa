"""The pool: a connection that is used again is ready, belongs to one borrower, and to one process."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis as redis_py
from redis.exceptions import MaxConnectionsError

import pykiq
from pykiq.config import Config
from pykiq.store.connection import connect
from pykiq.store.fleet import read
from pykiq.store.push import PushBatch, push
from tests.servers import wait_until


@pytest.fixture
def client(redis_url: str) -> Any:
    with connect(Config.of(redis=redis_url)) as client:
        yield client


def few(redis_url: str, count: int, patience: float = 30.0) -> Any:
    """A client with `count` connections, which waits for one for `patience` seconds."""
    client = connect(Config.of(redis=f"{redis_url}?max_connections={count}"))
    pool: Any = client.connection_pool
    pool.patience = patience
    return client


def refuse(*_: object) -> None:
    raise redis_py.ConnectionError("refused")


def ask(connection: Any, *command: str) -> Any:
    connection.send_command(*command)
    return connection.read_response()


def test_a_connection_that_came_back_is_the_next_one_to_go_out(client: redis_py.Redis) -> None:
    assert len({client.client_id() for _ in range(3)}) == 1


def test_two_borrowers_have_two_connections(client: redis_py.Redis) -> None:
    pool = client.connection_pool
    first, second = pool.get_connection(), pool.get_connection()
    assert ask(first, "CLIENT", "ID") != ask(second, "CLIENT", "ID")
    pool.release(first)
    assert pool.get_connection() is first


def test_a_connection_that_is_given_back_twice_has_one_borrower(client: redis_py.Redis) -> None:
    pool = client.connection_pool
    connection = pool.get_connection()
    pool.release(connection)
    pool.release(connection)
    assert pool.get_connection() is not pool.get_connection()


def test_an_answer_that_nobody_read_is_not_the_next_borrowers(client: redis_py.Redis) -> None:
    pool = client.connection_pool
    connection = pool.get_connection()
    connection.send_command("ECHO", "of another")
    wait_until(connection.can_read, 5, "the answer")
    pool.release(connection)
    assert client.echo("mine") == b"mine"


def test_a_connection_that_cannot_be_made_is_asked_for_once_and_comes_back(
    client: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = client.connection_pool
    connection = pool.get_connection()
    connection.disconnect()
    pool.release(connection)
    tried = []

    def refused() -> None:
        tried.append(1)
        raise redis_py.ConnectionError("refused")

    with monkeypatch.context() as patch:
        patch.setattr(connection, "connect", refused)
        with pytest.raises(redis_py.ConnectionError):
            pool.get_connection()
    assert len(tried) == 1
    assert pool.get_connection() is connection
    assert ask(connection, "PING") == b"PONG"


def test_a_forked_child_has_connections_of_its_own(client: redis_py.Redis) -> None:
    parents = client.client_id()
    lent = client.connection_pool.get_connection()
    child = os.fork()
    if child == 0:
        try:
            client.connection_pool.release(lent)  # the parent's: not for use in here
            os._exit(0 if client.client_id() not in (parents, 0) else 3)
        finally:
            os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    client.connection_pool.release(lent)
    assert client.client_id() == parents


def test_one_connection_is_enough_for_pushes_and_looks_at_the_fleet(redis_url: str, redis: redis_py.Redis) -> None:
    with few(redis_url, 1) as client:
        for _ in range(2):
            push(client, [PushBatch("default", False, (b"{}",))])
            read(client)


def test_more_threads_than_connections_share_them(redis_url: str, redis: redis_py.Redis) -> None:
    before = redis.info("stats")["total_connections_received"]
    with few(redis_url, 3) as client, ThreadPoolExecutor(30) as threads:
        answers = list(threads.map(lambda _: client.incr("counted"), range(600)))
    assert sorted(answers) == list(range(1, 601))
    assert redis.info("stats")["total_connections_received"] - before <= 3


def test_who_waits_too_long_is_told_for_what_and_who_has_it(redis_url: str, redis: redis_py.Redis) -> None:
    with few(redis_url, 2, patience=0.05) as client, ThreadPoolExecutor(2, "holder") as threads:
        lent = [threads.submit(client.connection_pool.get_connection) for _ in range(2)]
        for one in lent:
            one.result(10)
        with pytest.raises(MaxConnectionsError) as told:
            client.ping()
        assert re.fullmatch(
            r"all 2 connections to Redis are in use by the threads? holder_\d( \(2\)|, holder_\d); waited 0\.05 s for"
            r" one, and nothing was sent: raise `max_connections` in the Redis URL, or push fewer at once",
            str(told.value),
        )
        client.connection_pool.release(lent[0].result())
        assert client.ping()


def test_a_push_by_the_thread_that_has_the_only_connection_is_told_so(redis_url: str, redis: redis_py.Redis) -> None:
    with pykiq.Client(Config.of(redis=f"{redis_url}?max_connections=1", wire="8")) as client:
        pool: Any = client.redis.connection_pool
        pool.patience = 0.05
        with client.redis.pipeline() as pipeline:
            pipeline.watch("mine")
            with pytest.raises(MaxConnectionsError, match=r"1 of them by this very thread, which waits for itself"):
                client.push({"class": "HardJob", "args": []})
        assert not redis.exists("queue:default")
        assert client.push({"class": "HardJob", "args": []})


def test_a_connection_that_breaks_goes_to_the_next_one_who_waits_and_connects_anew(
    redis_url: str, redis: redis_py.Redis
) -> None:
    with few(redis_url, 1) as client, ThreadPoolExecutor(3) as threads:
        pool: Any = client.connection_pool
        lent = pool.get_connection()
        waiting = [threads.submit(client.incr, "counted") for _ in range(3)]
        wait_until(lambda: len(pool._permits._waiting) == 3, 10, "three threads in the line")
        redis.client_kill_filter(_id=ask(lent, "CLIENT", "ID"))
        with pytest.raises(redis_py.ConnectionError):
            ask(lent, "PING")
        pool.release(lent)
        assert sorted(one.result(10) for one in waiting) == [1, 2, 3]


def test_when_connecting_fails_everyone_who_waits_is_told_and_the_connection_is_not_lost(
    redis_url: str, redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    with few(redis_url, 1) as client, ThreadPoolExecutor(3) as threads:
        pool: Any = client.connection_pool
        lent = pool.get_connection()
        waiting = [threads.submit(client.ping) for _ in range(3)]
        wait_until(lambda: len(pool._permits._waiting) == 3, 10, "three threads in the line")
        lent.disconnect()
        with monkeypatch.context() as patch:
            patch.setattr(lent, "_connect", refuse)
            pool.release(lent)
            for one in waiting:
                with pytest.raises(redis_py.ConnectionError, match="refused"):
                    one.result(10)
        assert client.ping()


def test_a_child_forked_while_all_are_lent_and_others_wait_has_its_own(redis_url: str, redis: redis_py.Redis) -> None:
    with few(redis_url, 1) as client, ThreadPoolExecutor(1) as threads:
        pool: Any = client.connection_pool
        lent = pool.get_connection()
        waiting = threads.submit(client.incr, "counted")
        wait_until(lambda: pool._permits._waiting, 10, "a thread in the line")
        child = os.fork()
        if child == 0:
            try:
                pool.release(lent)
                os._exit(0 if client.incr("childs") == 1 and client.incr("childs") == 2 else 3)
            finally:
                os._exit(4)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        pool.release(lent)
        assert waiting.result(10) == 1


def test_disconnecting_while_others_wait_lets_them_go_on(redis_url: str, redis: redis_py.Redis) -> None:
    with few(redis_url, 1) as client, ThreadPoolExecutor(1) as threads:
        pool: Any = client.connection_pool
        lent = pool.get_connection()
        waiting = threads.submit(client.incr, "counted")
        wait_until(lambda: pool._permits._waiting, 10, "a thread in the line")
        pool.disconnect()
        pool.release(lent)
        assert waiting.result(10) == 1


def test_a_connection_of_another_pool_is_not_taken(redis_url: str) -> None:
    with few(redis_url, 1) as client, few(redis_url, 1) as other:
        lent = client.connection_pool.get_connection()
        other.connection_pool.release(lent)
        assert other.connection_pool.get_connection() is not lent
        client.connection_pool.release(lent)
        assert client.connection_pool.get_connection() is lent


def test_disconnecting_closes_what_is_idle_and_if_told_so_leaves_the_others(client: redis_py.Redis) -> None:
    pool = client.connection_pool
    idle, lent = pool.get_connection(), pool.get_connection()
    first, second = ask(idle, "CLIENT", "ID"), ask(lent, "CLIENT", "ID")
    pool.release(idle)
    pool.disconnect(inuse_connections=False)
    assert ask(lent, "CLIENT", "ID") == second
    assert client.client_id() not in (first, second)
    pool.disconnect()
    assert ask(lent, "CLIENT", "ID") not in (first, second)


def test_closing_the_client_closes_its_connections(redis_url: str, redis: redis_py.Redis) -> None:
    before = redis.info("clients")["connected_clients"]
    client = connect(Config.of(redis=redis_url))
    client.ping()
    assert redis.info("clients")["connected_clients"] == before + 1
    client.close()
    wait_until(lambda: redis.info("clients")["connected_clients"] == before, 5, "closed connections")
    assert client.ping()

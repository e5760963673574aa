"""The pool: a connection that is used again is ready, belongs to one borrower, and to one process."""

from __future__ import annotations

import os
from typing import Any

import pytest
import redis as redis_py

from pykiq.config import Config
from pykiq.store.connection import connect
from pykiq.store.fleet import read
from pykiq.store.push import PushBatch, push
from tests.servers import wait_until


@pytest.fixture
def client(redis_url: str) -> Any:
    with connect(Config.of(redis=redis_url)) as client:
        yield client


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
    with connect(Config.of(redis=redis_url)) as client:
        client.connection_pool.max_connections = 1
        for _ in range(2):
            push(client, [PushBatch("default", False, (b"{}",))])
            read(client)
        client.connection_pool.get_connection()
        with pytest.raises(redis_py.ConnectionError, match="Too many connections"):
            client.ping()


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

"""A master that is demoted without anybody closing its connections: what was refused is done on the next server."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import redis as redis_py
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import BusyLoadingError, MasterDownError, ReadOnlyError

import pykiq
from pykiq import admin
from pykiq.config import Config
from pykiq.store import processes, reclaim
from pykiq.store.claim import Berth
from pykiq.store.connection import connect
from pykiq.store.demotion import Watch, once_more
from pykiq.store.push import PushBatch, push
from pykiq.store.refusals import is_demoted
from pykiq.store.roundtrip import round_trip
from pykiq.store.scripts import Call, script, send
from tests.chaos.proxy import Proxy
from tests.servers import Server, free_port

JOB = {"class": "HardJob", "args": [1]}


class Pair(NamedTuple):
    """A proxy that leads to `old`, and the server it can be switched to."""

    proxy: Proxy
    old: redis_py.Redis
    new: redis_py.Redis
    new_port: int

    @property
    def config(self) -> Config:
        return Config.of(redis=self.proxy.url)

    def fail_over(self) -> None:
        """Demote the one and lead to the other. Nobody's connection is closed."""
        self.old.execute_command("REPLICAOF", "127.0.0.1", free_port())
        self.proxy.switch(self.new_port)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    both = Server().start(), Server().start()
    yield both
    for one in both:
        one.stop()


@pytest.fixture
def pair(servers: tuple[Server, Server]) -> Iterator[Pair]:
    with servers[0].client() as old, servers[1].client() as new:
        for one in (old, new):
            one.execute_command("REPLICAOF", "NO", "ONE")
            one.config_set("replica-serve-stale-data", "yes")
            one.config_set("min-replicas-to-write", 0)
            one.flushall()
        proxy = Proxy(servers[0].port)
        yield Pair(proxy, old, new, servers[1].port)
        proxy.close()


def entries(client: redis_py.Redis) -> int:
    return int(client.llen("queue:default"))


@pytest.mark.parametrize("own", [False, True], ids=["its client", "the user's client"])
def test_a_client_whose_master_was_demoted_pushes_to_the_next_one(pair: Pair, own: bool) -> None:
    given = redis_py.Redis(port=pair.proxy.port, protocol=2) if own else None
    with pykiq.Client(pair.config, redis=given) as client:
        assert client.push(JOB)
        pair.fail_over()
        assert client.push(JOB)
        assert len(client.push_bulk({"class": "HardJob", "args": [[1], [2]]})) == 2
        assert client.push(JOB | {"at": 4_000_000_000})
    if given is not None:
        given.close()
    assert (entries(pair.old), entries(pair.new), pair.new.zcard("schedule")) == (1, 3, 1)


@pytest.mark.parametrize("own", [False, True], ids=["its client", "the user's client"])
async def test_an_asyncio_client_does_so_too(pair: Pair, own: bool) -> None:
    given = redis_py.asyncio.Redis(port=pair.proxy.port, protocol=2) if own else None
    async with pykiq.AsyncClient(pair.config, redis=given) as client:
        await client.push(JOB)
        pair.fail_over()
        await client.push(JOB)
        await client.push_bulk({"class": "HardJob", "args": [[1], [2]]})
    if given is not None:
        await given.aclose()
    assert (entries(pair.old), entries(pair.new)) == (1, 3)


async def test_pushes_that_share_a_round_trip_do_so_too(pair: Pair) -> None:
    async with pykiq.AsyncClient(pair.config) as client:
        await client.push(JOB)
        pair.fail_over()
        await asyncio.gather(*(client.push(JOB) for _ in range(3)))
    assert (entries(pair.old), entries(pair.new)) == (1, 3)


def test_while_the_name_leads_to_the_old_master_the_push_is_refused_and_the_next_one_finds_the_new(pair: Pair) -> None:
    with pykiq.Client(pair.config) as client:
        client.push(JOB)
        pair.old.execute_command("REPLICAOF", "127.0.0.1", free_port())
        with pytest.raises(ReadOnlyError):
            client.push(JOB)
        pair.proxy.switch(pair.new_port)
        client.push(JOB)
    assert (entries(pair.old), entries(pair.new)) == (1, 1)


DONE: dict[str, Callable[[pykiq.Client], object]] = {
    "one command": lambda client: client.redis.sadd("queues", "default"),
    "a transaction": lambda client: admin.Queue("default", client=client).clear(),
    "a script": lambda client: Berth("me", ("default",), 60.0).renew(client.redis),
    "signals": lambda client: processes.signal(client.redis, ["one"], "TERM"),
}


@pytest.mark.parametrize("name", DONE)
def test_what_is_one_step_is_done_on_the_next_master(pair: Pair, name: str) -> None:
    with pykiq.Client(pair.config) as client:
        client.push(JOB)
        client.redis.script_load(script("lease").text)
        pair.fail_over()
        DONE[name](client)
        assert client.redis.role()[0] == b"master"


def test_a_pipeline_of_single_writes_is_not_repeated_but_the_next_one_finds_the_new_master(pair: Pair) -> None:
    with connect(pair.config) as client:
        pipeline = client.pipeline(transaction=False)
        pipeline.ping()
        pipeline.lpush("list", "one")
        client.ping()
        pair.fail_over()
        with pytest.raises(ReadOnlyError):
            pipeline.execute()
        client.lpush("list", "two")
    assert pair.new.lrange("list", 0, -1) == [b"two"]


def test_calls_of_an_exchange_are_answered_with_the_refusal_and_the_next_ones_by_the_new_master(pair: Pair) -> None:
    berth = Berth("me", ("default",), 60.0)
    calls = [Call(script("lease"), [berth.lease, "pykiq:owners"], berth.owner_args) for _ in range(2)]
    with connect(pair.config) as client:
        send(client, calls)
        pair.fail_over()
        assert [is_demoted(answer) for answer in send(client, calls)] == [True, True]
        assert send(client, calls) == [None, None]
    assert pair.new.exists(berth.lease)


def test_what_is_in_flight_is_not_asked_of_a_server_that_is_no_master(pair: Pair) -> None:
    berth = Berth("me", ("default",), 60.0)
    pair.old.lpush(berth.inflight("default"), b"old")
    pair.new.lpush(berth.inflight("default"), b"new", b"new")
    with connect(pair.config) as client:
        assert berth.count(client) == 1
        pair.fail_over()
        with pytest.raises(ReadOnlyError):
            berth.count(client)
        assert berth.count(client) == 2
        assert [one.raw for one in berth.held(client)] == [b"new", b"new"]
    assert not pair.new.exists(berth.lease), "asking is no renewal"


def test_of_a_pool_whose_one_connection_met_a_replica_no_other_is_used_again(pair: Pair) -> None:
    with connect(pair.config) as client:
        pool: Any = client.connection_pool
        idle, other, lent = (pool.get_connection() for _ in range(3))
        pool.release(idle)
        pool.release(other)
        pair.fail_over()
        client.sadd("set", 1)
        pool.release(lent)
        for _ in range(3):
            connection = pool.get_connection()
            connection.send_command("ROLE")
            assert connection.read_response()[0] == b"master"


def test_a_master_with_too_few_replicas_is_hung_up_on_too(pair: Pair) -> None:
    with pykiq.Client(pair.config) as client:
        client.push(JOB)
        pair.old.config_set("min-replicas-to-write", 1)
        with pytest.raises(redis_py.ResponseError, match="NOREPLICAS"):
            client.push(JOB)
        pair.proxy.switch(pair.new_port)
        client.push(JOB)
    assert (entries(pair.old), entries(pair.new)) == (1, 1)


def test_a_replica_that_has_lost_its_master_and_tells_nothing_is_hung_up_on_too(pair: Pair) -> None:
    with pykiq.Client(pair.config) as client:
        client.push(JOB)
        pair.old.config_set("replica-serve-stale-data", "no")
        pair.fail_over()
        assert client.redis.get("nothing") is None
        client.push(JOB)
    assert entries(pair.new) == 1


def test_a_transaction_that_is_refused_at_its_end_counts(pair: Pair) -> None:
    with connect(pair.config) as client:
        connection: Any = client.connection_pool.get_connection()
        for command in (("MULTI",), ("SET", "key", "1")):
            connection.send_command(*command)
            connection.read_response()
        pair.old.execute_command("REPLICAOF", "127.0.0.1", free_port())
        connection.send_command("EXEC")
        with pytest.raises(redis_py.ResponseError) as refused:
            connection.read_response()
        assert is_demoted(refused.value)
        assert connection.spent
        client.connection_pool.release(connection)


class Scripted:
    """A server that gives each connection its own answers, whatever is sent."""

    def __init__(self, *answers: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self.received: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, args=(answers,), daemon=True)
        self._thread.start()

    def _serve(self, answers: tuple[bytes, ...]) -> None:
        for answer in answers:
            peer, _ = self._listener.accept()
            with peer:
                while data := peer.recv(65536):
                    if b"LPUSH" in data:
                        self.received.append(data)
                        peer.sendall(answer)
                    else:  # redis-py introduces itself
                        peer.sendall(b"+OK\r\n" * data.count(b"SETINFO"))

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._thread.join(5)


@pytest.mark.parametrize(
    ("first", "repeated"),
    [
        (b"-LOADING Valkey is loading the dataset in memory\r\n" * 2, [b"SADD", b"LPUSH"]),
        (b":1\r\n-LOADING Redis is loading the dataset in memory\r\n", [b"LPUSH"]),
        (b":1\r\n-READONLY You can't write against a read only replica.\r\n", [b"LPUSH"]),
        (b":1\r\n-UNBLOCKED force unblock from blocking operation\r\n", [b"LPUSH"]),
    ],
)
def test_what_was_carried_out_before_the_refusals_is_not_repeated(first: bytes, repeated: list[bytes]) -> None:
    with Scripted(first, b":1\r\n" * len(repeated)) as server, connect(Config.of(redis=server.url)) as client:
        push(client, [PushBatch("default", False, (b"{}",))])
    assert [name for name in (b"SADD", b"LPUSH") if name in server.received[1]] == repeated


@pytest.mark.parametrize(
    "error",
    [b"-OOM command not allowed when used memory > 'maxmemory'.", b"-NOPERM this user has no permissions", b"-ERR no"],
)
def test_another_refusal_is_not_repeated(error: bytes) -> None:
    with (
        Scripted(b":1\r\n" + error + b"\r\n") as server,
        connect(Config.of(redis=server.url), timeout=3) as client,
        pytest.raises(redis_py.ResponseError),
    ):
        push(client, [PushBatch("default", False, (b"{}",))])
    assert len(server.received) == 1


CODES = ("READONLY", "NOREPLICAS", "UNBLOCKED", "LOADING", "MASTERDOWN")


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(
    "text",
    [
        "{} You can't write against a read only replica.",
        "{} You can't. script: f1c3, on @user_script:1.",
        "ERR Error running script (call to f_0): @user_script:13: @user_script: 13: -{} You can't write",
        "EXECABORT Transaction discarded because of: {} You can't write against a read only replica.",
        "Command # 1 (LPUSH queue:default : {{}}) of pipeline caused error: {} Not enough good replicas to write.",
    ],
)
def test_a_refusal_is_known_wherever_its_code_stands(code: str, text: str) -> None:
    assert is_demoted(redis_py.ResponseError(text.format(code)))


@pytest.mark.parametrize("error", [ReadOnlyError("You"), MasterDownError("Link"), BusyLoadingError("loading")])
def test_a_refusal_is_known_by_its_class(error: Exception) -> None:
    assert is_demoted(error)


@pytest.mark.parametrize(
    "answer",
    [
        redis_py.ResponseError("OOM command not allowed"),
        redis_py.ResponseError("WRONGTYPE Operation against a key"),
        redis_py.ResponseError("Command # 1 (LPUSH q : READONLY x) of pipeline caused error: WRONGTYPE Operation"),
        redis_py.ResponseError("MISCONF Redis is configured to save RDB snapshots"),
        redis_py.ConnectionError("READONLY "),
        b"READONLY ",
        None,
        1,
    ],
)
def test_nothing_else_is_taken_for_one(answer: object) -> None:
    assert not is_demoted(answer)


@given(st.text())
def test_a_users_text_in_a_pipelines_error_is_not_looked_at(text: str) -> None:
    told = f"Command # 1 (LPUSH q {text} READONLY ) of pipeline caused error: WRONGTYPE Operation against a key"
    assert not is_demoted(redis_py.ResponseError(told))


def test_once_more_is_once() -> None:
    attempts = itertools.count()

    def refused() -> None:
        next(attempts)
        raise ReadOnlyError("You can't")

    with pytest.raises(ReadOnlyError):
        once_more(refused)
    assert next(attempts) == 2


def test_who_only_reads_notices_that_its_master_was_demoted_and_reads_from_the_next_one(pair: Pair) -> None:
    pair.new.set("key", "new")
    with connect(pair.config) as client:
        watch = Watch(client)
        assert watch.reads_master()
        before = client.client_id()
        assert watch.reads_master()
        assert client.client_id() == before, "a master is not hung up on"
        pair.fail_over()
        assert watch.reads_master()
        assert client.get("key") == b"new"


def test_who_only_reads_is_told_while_the_name_leads_to_the_old_master(pair: Pair) -> None:
    with connect(pair.config) as client:
        watch = Watch(client)
        assert watch.reads_master()
        pair.old.execute_command("REPLICAOF", "127.0.0.1", free_port())
        assert not watch.reads_master()
        assert not watch.reads_master()
        pair.proxy.switch(pair.new_port)
        assert watch.reads_master()


def test_a_replica_that_the_user_has_named_is_read_from_on_one_connection(pair: Pair) -> None:
    pair.old.execute_command("REPLICAOF", "127.0.0.1", free_port())
    with connect(pair.config) as client:
        watch = Watch(client)
        assert not watch.reads_master()
        before = client.client_id()
        assert not watch.reads_master()
        assert client.client_id() == before


@pytest.mark.parametrize("name", ["one command", "a transaction", "a script", "signals"])
def test_what_an_administrator_changes_through_a_client_of_his_own_is_refused_in_clear_words(
    pair: Pair, name: str
) -> None:
    given = redis_py.Redis(port=pair.proxy.port, protocol=2)
    with pykiq.Client(pair.config, redis=given) as client:
        client.push(JOB)
        pair.old.execute_command("REPLICAOF", "127.0.0.1", free_port())
        with pytest.raises(redis_py.RedisError, match="You can't write against a read only replica") as refused:
            DONE[name](client)
        assert is_demoted(refused.value)
    given.close()


def test_another_error_costs_no_connection(pair: Pair) -> None:
    with connect(pair.config) as client:
        before = client.client_id()
        client.sadd("set", 1)
        assert isinstance(round_trip(client, [("LPUSH", "set", 1)])[0], redis_py.ResponseError)
        with pytest.raises(redis_py.ResponseError):
            client.lpush("set", 1)
        assert client.client_id() == before


def test_a_sweep_is_not_repeated_for_at_another_server_nobody_could_renew_a_lease(pair: Pair) -> None:
    """The refusal is to raise the sweeper's doubt."""
    berth = Berth("me", ("default",), 60.0)
    pair.new.hset("pykiq:owners", "gone", '["default"]')
    with connect(pair.config) as client:
        client.ping()
        pair.fail_over()
        with pytest.raises(ReadOnlyError):
            list(reclaim.sweep(client, berth, pair.config, lambda raw, *_: raw))
        list(reclaim.sweep(client, berth, pair.config, lambda raw, *_: raw))

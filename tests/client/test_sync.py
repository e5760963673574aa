"""The client against a real server: what it writes, which dialect it chooses, how it meets trouble."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
from typing import Any

import pytest
import redis as redis_py

import pykiq
from pykiq.client import base
from pykiq.errors import ConfigError, PayloadError
from pykiq.middleware.chain import Chain

PUSH: dict[str, Any] = {"class": "HardJob", "args": [1]}


def config(redis_url: str, **settings: Any) -> pykiq.Config:
    return pykiq.Config.of(redis=redis_url, **{"wire": "8", **settings})


def ruby_process(redis: redis_py.Redis, identity: str, version: str | None) -> None:
    redis.sadd("processes", identity)
    redis.hset(identity, "info", json.dumps({"identity": identity, **({"version": version} if version else {})}))


def created_at(redis: redis_py.Redis) -> Any:
    return json.loads(redis.lindex("queue:default", 0))["created_at"]


def test_push_returns_the_jid_it_wrote(redis_url: str, redis: redis_py.Redis) -> None:
    with pykiq.Client(config(redis_url)) as client:
        jid = client.push(PUSH)
    (raw,) = redis.lrange("queue:default", 0, -1)
    assert json.loads(raw)["jid"] == jid
    assert isinstance(jid, str)
    assert len(bytes.fromhex(jid)) == 12


def test_a_url_is_where_redis_is_and_the_other_settings_stay(redis_url: str, redis: redis_py.Redis) -> None:
    nowhere = config("redis://127.0.0.1:1/0", wire="7")
    with pykiq.Client(nowhere, redis=redis_url) as client, pykiq.Client(redis=redis_url) as other:
        assert (client.config.redis, client.config.wire) == (redis_url, "7")
        client.push(PUSH)
        other.push(PUSH)
        assert client.redis is client.redis
    assert redis.llen("queue:default") == 2
    for url, message in [("localhost:6379", "`redis` is .*expected"), ("http://:s3cret@x", "expected"), ("", "empty")]:
        with pytest.raises(ConfigError, match=message) as refused:
            pykiq.Client(redis=url)
        assert "s3cret" not in str(refused.value)


def test_many_jids_are_as_those_made_one_by_one() -> None:
    jids = base.new_jids(100)
    assert len({*jids, base.new_jid()}) == 101
    assert {len(bytes.fromhex(jid)) for jid in jids} == {12}


def test_enqueue_takes_a_name_or_something_declared(redis_url: str, redis: redis_py.Redis) -> None:
    with pykiq.Client(config(redis_url)) as client:
        client.enqueue("HardJob", 1, 2)
        client.enqueue(pykiq.remote("Other", queue="low"), 3)
    assert json.loads(redis.lindex("queue:default", 0))["args"] == [1, 2]
    assert json.loads(redis.lindex("queue:low", 0))["class"] == "Other"


def test_ten_thousand_jobs_from_a_generator_arrive_in_order(redis_url: str, redis: redis_py.Redis) -> None:
    with pykiq.Client(config(redis_url)) as client:
        jids = client.push_bulk({"class": "HardJob", "args": ([n] for n in range(10_000))})
    jobs = [json.loads(raw) for raw in reversed(redis.lrange("queue:default", 0, -1))]
    assert [job["args"] for job in jobs] == [[n] for n in range(10_000)]
    assert [job["jid"] for job in jobs] == jids


def test_slices_before_a_bad_job_are_written_and_nothing_after(redis_url: str, redis: redis_py.Redis) -> None:
    args = ([n] if n != 5 else [object()] for n in range(9))
    with pykiq.Client(config(redis_url)) as client, pytest.raises(PayloadError, match="job 5 of the bulk"):
        client.push_bulk({"class": "HardJob", "args": args}, batch_size=2)
    assert redis.llen("queue:default") == 4


def test_a_given_redis_client_is_used_and_left_open(redis_url: str, redis: redis_py.Redis) -> None:
    client = pykiq.Client(config("redis://127.0.0.1:1/0"), redis)
    client.push(PUSH)
    client.close()
    assert redis.llen("queue:default") == 1


@pytest.mark.parametrize(
    ("versions", "kind"),
    [([], float), (["8.1.7"], int), (["8.1.7", "7.3.2"], float), ([None], float), (["pykiq-0.1.0"], float)],
)
def test_auto_writes_what_every_ruby_process_seen_can_read(
    versions: list[str | None], kind: type, redis_url: str, redis: redis_py.Redis
) -> None:
    for number, version in enumerate(versions):
        ruby_process(redis, f"app-{number}:1:abc", version)
    with pykiq.Client(config(redis_url, wire="auto")) as client:
        client.push(PUSH)
    assert type(created_at(redis)) is kind


def test_auto_mirrors_the_created_at_of_the_job_itself(redis_url: str, redis: redis_py.Redis) -> None:
    with pykiq.Client(config(redis_url, wire="auto")) as client:
        client.push({**PUSH, "created_at": 1_795_315_352_119})
    assert type(json.loads(redis.lindex("queue:default", 0))["enqueued_at"]) is int


def test_the_fleet_is_read_once_a_minute(
    redis_url: str, redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(base.time, "monotonic", lambda: now[0])
    with pykiq.Client(config(redis_url, wire="auto")) as client:
        client.push(PUSH)
        ruby_process(redis, "app:1:abc", "8.1.7")
        now[0] += base.FLEET_SECONDS - 1
        client.push(PUSH)
        assert type(created_at(redis)) is float
        now[0] += 1
        client.push(PUSH)
        assert type(created_at(redis)) is int


@pytest.mark.parametrize(("wire", "kind"), [("6", float), ("7", float), ("8", int)])
def test_a_fixed_dialect_asks_nobody(wire: str, kind: type, redis_url: str, redis: redis_py.Redis) -> None:
    ruby_process(redis, "app:1:abc", "6.4.1" if wire == "8" else "8.1.7")
    with pykiq.Client(config(redis_url, wire=wire)) as client:
        client.push(PUSH)
    assert type(created_at(redis)) is kind


def test_a_connection_that_died_while_idle_is_replaced_before_anything_is_sent(
    redis_url: str, redis: redis_py.Redis
) -> None:
    with pykiq.Client(config(redis_url)) as client:
        client.push(PUSH)
        redis.client_kill_filter(_type="normal", skipme=True)
        client.push(PUSH)
    assert redis.llen("queue:default") == 2


def test_a_connection_that_breaks_after_the_push_was_sent_raises_and_is_not_tried_again() -> None:
    """Nobody can know whether such a push was written: sending it again could run the job twice."""
    connections: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    received = b""
                    while b"LPUSH" not in received:
                        part = peer.recv(65536)
                        if not part:
                            break
                        received += part
                        if b"CLIENT" in part:
                            peer.sendall(b"+OK\r\n" * part.count(b"CLIENT"))
                    connections.append(received)

        thread = threading.Thread(target=serve)
        thread.start()
        with (
            pykiq.Client(config(f"redis://127.0.0.1:{listener.getsockname()[1]}/0")) as client,
            pytest.raises(redis_py.ConnectionError),
        ):
            client.push(PUSH)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert len([received for received in connections if b"LPUSH" in received]) == 1


def test_without_a_server_the_error_reaches_the_caller() -> None:
    with pykiq.Client(config("redis://127.0.0.1:1/0")) as client, pytest.raises(redis_py.ConnectionError):
        client.push(PUSH)


def test_a_reply_that_is_an_error_reaches_the_caller(redis_url: str, redis: redis_py.Redis) -> None:
    redis.set("queue:default", "not a list")
    with pykiq.Client(config(redis_url)) as client, pytest.raises(redis_py.ResponseError, match="WRONGTYPE"):
        client.push(PUSH)


def test_an_error_in_client_middleware_reaches_the_caller_and_nothing_is_written(
    redis_url: str, redis: redis_py.Redis
) -> None:
    def failing(job: Any, call_next: Any) -> Any:
        raise KeyError("tenant")

    with pykiq.Client(config(redis_url), middleware=Chain(failing)) as client, pytest.raises(KeyError, match="tenant"):
        client.push(PUSH)
    assert redis.keys() == []


def test_asynchronous_middleware_is_waited_for(redis_url: str, redis: redis_py.Redis) -> None:
    async def stamp(job: Any, call_next: Any) -> Any:
        await asyncio.sleep(0)
        return await call_next({**job, "tenant": "acme"})

    with pykiq.Client(config(redis_url), middleware=Chain(stamp)) as client:
        client.push(PUSH)
        client.push_bulk({"class": "HardJob", "args": [[2], [3]]})
    jobs = [json.loads(raw) for raw in reversed(redis.lrange("queue:default", 0, -1))]
    assert [(job["args"], job["tenant"]) for job in jobs] == [([1], "acme"), ([2], "acme"), ([3], "acme")]


def test_one_client_serves_many_threads(redis_url: str, redis: redis_py.Redis) -> None:
    with pykiq.Client(config(redis_url)) as client:
        start = threading.Barrier(8)

        def work() -> None:
            start.wait()
            for _ in range(50):
                client.push(PUSH)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert redis.llen("queue:default") == 400
    assert len({json.loads(raw)["jid"] for raw in redis.lrange("queue:default", 0, -1)}) == 400


def test_a_forked_child_connects_anew(redis_url: str, redis: redis_py.Redis) -> None:
    with pykiq.Client(config(redis_url)) as client:
        client.push(PUSH)
        parents = client.redis
        child = os.fork()
        if child == 0:
            try:
                client.push(PUSH)
                os._exit(0 if client.redis is not parents else 3)
            finally:
                os._exit(4)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        client.push(PUSH)
        assert client.redis is parents
    assert redis.llen("queue:default") == 3


def test_a_closed_client_connects_again_when_it_is_used_again(redis_url: str, redis: redis_py.Redis) -> None:
    client = pykiq.Client(config(redis_url))
    client.push(PUSH)
    client.close()
    client.close()
    client.push(PUSH)
    client.close()
    assert redis.llen("queue:default") == 2


def test_times_are_those_of_the_push(redis_url: str, redis: redis_py.Redis) -> None:
    before = int(time.time() * 1000)
    with pykiq.Client(config(redis_url)) as client:
        client.push(PUSH)
    job = json.loads(redis.lindex("queue:default", 0))
    assert before <= job["created_at"] <= job["enqueued_at"] <= int(time.time() * 1000)


def test_a_job_or_a_config_of_the_wrong_kind_is_refused_in_words() -> None:
    with pykiq.Client(pykiq.Config.of(wire="7")) as client:
        with pytest.raises(PayloadError, match="the job is 'Foo'; expected a mapping"):
            client.push("Foo")  # type: ignore[arg-type]
        with pytest.raises(PayloadError, match="the job is 'Foo'; expected a mapping"):
            client.push_bulk("Foo")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"given str as its config; expected a Config, as of Config\.of"):
        pykiq.Client("redis://x")  # type: ignore[arg-type]

"""Connections: the settings a job system needs, and errors without passwords."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis as redis_py

import pykiq
from pykiq import admin
from pykiq.config import Config
from pykiq.config.redis_parameters import FILES, PARAMETERS
from pykiq.errors import ConfigError, StoreError
from pykiq.store.connection import Ear, aconnect, connect, forget, probe
from pykiq.store.exhausted import MAX_CONNECTIONS
from pykiq.version import __version__
from tests.servers import Server, free_port


def test_answers_are_bytes_and_the_protocol_is_resp2(redis: redis_py.Redis, redis_url: str) -> None:
    with connect(Config.of(redis=redis_url)) as client:
        client.set("key", b"\xff")
        assert client.get("key") == b"\xff"
        assert client.client_info()["resp"] == "2"


@pytest.fixture
def socket_url(tmp_path: Path) -> Iterator[str]:
    """A server that listens at a socket of the file system too."""
    running = Server(options=("--unixsocket", str(tmp_path / "redis.sock"))).start()
    yield f"unix://{tmp_path}/redis.sock?db=2"
    running.stop()


async def test_a_socket_in_the_file_system_is_as_good_as_a_port(socket_url: str) -> None:
    with connect(Config.of(redis=socket_url)) as client:
        client.set("key", 1)
        assert client.client_info()["db"] == 2
    other = aconnect(Config.of(redis=socket_url))
    assert await other.get("key") == b"1"
    await other.aclose()


async def test_sentinels_that_know_no_master_are_told_in_one_line() -> None:
    config = Config.of(redis=f"redis+sentinel://:secret@127.0.0.1:{free_port()},127.0.0.1:{free_port()}/main")
    with connect(config) as client, pytest.raises(StoreError) as refused:
        probe(client, config)
    reason = r"network:ConnectionError|ConnectionError\('Error 111 .*'\)"  # the latter is how redis-py 5 says it
    assert re.search(rf"\(no Sentinel names a master called `main`: ({reason})\); check", str(refused.value))
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)
    other = aconnect(config)
    with pytest.raises(redis_py.ConnectionError, match=r"^no Sentinel names a master called `main`"):
        await other.ping()
    await other.aclose()


@pytest.mark.skipif(not hasattr(redis_py, "DriverInfo"), reason="this release of redis-py introduces itself alone")
async def test_a_connection_says_whose_it_is(redis: redis_py.Redis, redis_url: str) -> None:
    wanted = (f"redis-py(pykiq_v{__version__})", redis_py.__version__)
    with connect(Config.of(redis=redis_url)) as client:
        told = client.client_info()
        if "lib-name" not in told:
            pytest.skip("this server is older than 7.2 and does not ask")
        assert (told["lib-name"], told["lib-ver"]) == wanted
    other = aconnect(Config.of(redis=redis_url))
    told = await other.client_info()
    assert (told["lib-name"], told["lib-ver"]) == wanted
    await other.aclose()


async def test_asyncio_answers_bytes_too(redis: redis_py.Redis, redis_url: str) -> None:
    client = aconnect(Config.of(redis=redis_url))
    await client.set("key", b"\xff")
    assert await client.get("key") == b"\xff"
    await client.aclose()


def test_the_database_of_the_url_is_used(redis: redis_py.Redis, redis_url: str) -> None:
    with connect(Config.of(redis=redis_url.removesuffix("/0") + "/3")) as client:
        client.set("there", 1)
    assert not redis.exists("there")


def test_a_command_is_not_repeated_when_its_answer_is_lost() -> None:
    """Whether a repeat is safe is for the caller to know: a push that is repeated is two jobs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        client = connect(Config.of(redis=f"redis://127.0.0.1:{listener.getsockname()[1]}/0"), timeout=0.2)
        with client, pytest.raises(redis_py.RedisError):
            client.lpush("queue:default", "job")
        received = b""
        connections = 0
        listener.settimeout(0.2)
        while True:
            try:
                peer, _ = listener.accept()
            except TimeoutError:
                break
            with peer:
                connections += 1
                peer.settimeout(0.2)
                received += peer.recv(4096)
    assert connections == 1
    assert received.count(b"LPUSH") <= 1


def test_a_server_that_is_away_is_a_transient_error() -> None:
    with connect(Config.of(redis=f"redis://127.0.0.1:{free_port()}/0")) as client, pytest.raises(redis_py.RedisError):
        client.ping()


def test_the_probe_says_in_one_line_which_server_does_not_answer_and_keeps_the_password() -> None:
    config = Config.of(redis=f"redis://user:secret@127.0.0.1:{free_port()}/0")
    with connect(config) as client, pytest.raises(StoreError) as caught:
        probe(client, config)
    message = str(caught.value)
    assert "127.0.0.1" in message
    assert "--redis" in message
    assert "secret" not in message
    assert "\n" not in message


def test_a_sentinel_url_asks_the_sentinels_for_the_master() -> None:
    config = Config.of(redis="redis+sentinel://user:s%40fe@one:26380,two/mymaster/2?sentinel_password=100%2541%2F")
    client = connect(config)
    pool = client.connection_pool
    assert [
        (node.connection_pool.connection_kwargs["host"], node.connection_pool.connection_kwargs["port"])
        for node in pool.sentinel_manager.sentinels
    ] == [("one", 26380), ("two", 26379)]
    assert pool.service_name == "mymaster"
    assert pool.connection_kwargs["db"] == 2
    assert pool.connection_kwargs["username"] == "user"
    assert pool.connection_kwargs["password"] == "s@fe"
    assert pool.sentinel_manager.sentinels[0].connection_pool.connection_kwargs["password"] == "100%41/"


@pytest.mark.parametrize(("parameter", "theirs"), [("", True), ("&sentinel_ssl=false", False)])
def test_a_sentinel_url_over_tls_is_so_for_both_with_the_same_certificates(
    parameter: str, theirs: bool, tmp_path: Path
) -> None:
    certificates = tmp_path / "ca.pem"
    certificates.touch()
    url = f"rediss+sentinel://one/main?ssl_ca_certs={certificates}&client_name=mine{parameter}"
    pool: Any = connect(Config.of(redis=url)).connection_pool
    servers = pool.connection_kwargs
    assert issubclass(pool.connection_class, redis_py.SSLConnection)
    assert (servers["ssl_ca_certs"], servers["client_name"]) == (str(certificates), "mine")
    (node,) = pool.sentinel_manager.sentinels
    assert issubclass(node.connection_pool.connection_class, redis_py.SSLConnection) is theirs
    if theirs:
        assert node.connection_pool.connection_kwargs["ssl_ca_certs"] == str(certificates)


@pytest.fixture
def values(tmp_path: Path) -> dict[str, str]:
    """A value for each parameter that a URL may have."""
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).touch()
    plain = {
        "db": "3",
        "username": "me",
        "password": "word",
        "client_name": "mine",
        "max_connections": "7",
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": "true",
        "ssl_password": "word",
        "ssl_ca_certs": f"{tmp_path}/ca.pem",
        "ssl_ca_path": str(tmp_path),
        "ssl_certfile": f"{tmp_path}/cert.pem",
        "ssl_keyfile": f"{tmp_path}/key.pem",
    }
    return {name: plain.get(name.removeprefix("sentinel_"), "true") for name in PARAMETERS}


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("scheme", ["redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel"])
def test_every_parameter_that_a_url_may_have_is_one_of_redis_pys_and_overrides_nothing(
    values: dict[str, str], scheme: str, name: str
) -> None:
    url = {"unix": "unix:///run/redis.sock"}.get(scheme, f"{scheme}://one/main" if "+" in scheme else f"{scheme}://one")
    try:
        config = Config.of(redis=f"{url}?{name}={values[name]}")
    except ConfigError:
        assert (name.startswith("ssl_") and "rediss" not in scheme) or name.startswith("sentinel_")
        return
    clients: list[Any] = [connect(config)]
    told = ""
    try:
        clients.append(aconnect(config))
    except ConfigError as error:
        told = str(error)
    # A release of redis-py that cannot do it in asyncio is told as such.
    assert len(clients) == 2 or f"unknown to redis-py {redis_py.__version__} in asyncio" in told
    for client in clients:
        pool: Any = client.connection_pool
        pools = [
            pool,
            *(node.connection_pool for node in getattr(pool, "sentinel_manager", pool).__dict__.get("sentinels", [])),
        ]
        for one in pools:
            options = dict(one.connection_kwargs)
            assert (options["protocol"], options["decode_responses"]) == (2, False)
            assert {"socket_timeout", "socket_connect_timeout", "retry"} <= options.keys() or one is not pool
            assert one.max_connections == (7 if name == "max_connections" else MAX_CONNECTIONS)
            one.make_connection()


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_that_cannot_be_read_is_told_as_such_and_not_as_a_server_that_is_away(name: str) -> None:
    config = Config.of(redis=f"rediss://:secret@127.0.0.1/0?{name}=/no/such.pem")
    for attempt in (connect, aconnect):
        with pytest.raises(
            ConfigError, match=f"^`{name}` of the Redis URL rediss://.* is '/no/such.pem'; expected"
        ) as told:
            attempt(config)
        assert "secret" not in str(told.value)


def test_a_sentinel_url_without_a_service_is_refused() -> None:
    with pytest.raises(ConfigError, match="NAME"):
        Config.of(redis="redis+sentinel://host:26379")


GIVEN: dict[str, tuple[dict[str, Any], str]] = {
    "decoding": ({"decode_responses": True}, "decode_responses=True; expected one that answers bytes"),
    "another encoding": ({"encoding": "latin-1"}, "encoding='latin-1'; expected utf-8"),
}


@pytest.mark.parametrize("name", GIVEN)
def test_a_client_of_ones_own_that_cannot_be_worked_with_is_refused_in_one_line(name: str) -> None:
    options, expected = GIVEN[name]
    with pytest.raises(ConfigError, match=expected):
        pykiq.Client(redis=redis_py.Redis(**options))
    with pytest.raises(ConfigError, match=expected):
        pykiq.Client(redis=redis_py.Redis.from_url("redis://localhost", **options))
    with pytest.raises(ConfigError, match=expected):
        pykiq.AsyncClient(redis=redis_py.asyncio.Redis(**options))


def test_a_client_of_ones_own_of_the_other_kind_is_refused_in_one_line() -> None:
    with pytest.raises(
        ConfigError, match=r"redis\.asyncio.*Redis as its redis; expected a URL or redis\.Redis, or pykiq"
    ):
        pykiq.Client(redis=redis_py.asyncio.Redis())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"expected a URL or redis\.asyncio\.Redis, or pykiq\.Client"):
        pykiq.AsyncClient(redis=redis_py.Redis())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"builtins\.object as its redis"):
        pykiq.Client(redis=object())  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_client_of_ones_own_may_speak_either_protocol(redis: redis_py.Redis, server: Server, protocol: int) -> None:
    with (
        redis_py.Redis(port=server.port, protocol=protocol) as given,  # type: ignore[arg-type]
        pykiq.Client(redis=given) as client,
    ):
        client.push({"class": "HardJob", "args": [1], "jid": "1" * 24})
        client.push({"class": "HardJob", "args": [1], "at": 4_000_000_000})
        assert [job.klass for job in admin.Queue("default", client=client)] == ["HardJob"]
        (entry,) = admin.ScheduledSet(client=client)
        assert (entry.klass, entry.score) == ("HardJob", 4_000_000_000.0)
        assert [one.klass for one in admin.ScheduledSet(client=client).scan("HardJob")] == ["HardJob"]
        assert admin.Stats(client=client).enqueued == 1
        assert list(admin.ProcessSet(client=client)) == list(admin.WorkSet(client=client)) == []
        assert entry.kill()
        assert admin.DeadSet(client=client).size == 1
        admin.DeadSet(client=client).clear()
        admin.Queue("default", client=client).clear()
    assert not redis.exists("dead", "schedule", "queue:default")


def test_a_forgotten_connection_is_reset_when_it_is_closed() -> None:
    """That is how the system says that it has thrown away what was not sent; it would go on sending for minutes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
        forget(SimpleNamespace(_sock=ours))
        ours.close()
        with theirs, pytest.raises(ConnectionResetError):
            theirs.recv(1)
    forget(SimpleNamespace(_sock=None))


@pytest.mark.parametrize("size", [0, 200, 300_000])
def test_an_ear_hears_what_read_response_would(redis: redis_py.Redis, redis_url: str, size: int) -> None:
    with connect(Config.of(redis=redis_url)) as client:
        connection = client.connection_pool.get_connection()
        ear = Ear(connection)
        redis.set("key", b"x" * size)
        for _ in range(2):
            connection.send_command("GET", "key")
            assert ear.read() == b"x" * size
        connection.send_command("GET", "nothing")
        assert ear.read() is None
        connection.send_command("LPOP", "key")
        with pytest.raises(redis_py.ResponseError, match="WRONGTYPE"):
            ear.read()
        connection.send_command("GET", "nothing")
        assert ear.read() is None, "an error is one answer"
        client.connection_pool.release(connection)


def test_an_ear_can_be_asked_whether_there_is_an_answer() -> None:
    pytest.importorskip("hiredis", reason="redis-py's own parser waits")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5.0)
        ear = Ear(SimpleNamespace(_sock=ours))
        with pytest.raises(BlockingIOError):
            ear.read_if_there()
        theirs.sendall(b":1\r\n:2\r\n")
        assert (ear.read_if_there(), ear.read_if_there()) == (1, 2)
        with pytest.raises(BlockingIOError):
            ear.read_if_there()


def test_an_ear_waits_no_longer_than_its_connection_does() -> None:
    pytest.importorskip("hiredis", reason="redis-py's own parser reads from the connection itself")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0.05)
        with pytest.raises(OSError, match=r"temporarily|timed out"):
            Ear(SimpleNamespace(_sock=ours)).read()


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        ([b"$5\r\nhel", b"lo\r\n"], None),
        ([b"$5\r\nhel"], redis_py.ConnectionError),
        ([], redis_py.ConnectionError),
        ([b"hello\r\n"], redis_py.InvalidResponse),
    ],
)
def test_an_ear_takes_pieces_together_and_complains_of_half_answers_and_of_what_is_none(
    sent: list[bytes], error: type[Exception] | None
) -> None:
    pytest.importorskip("hiredis", reason="redis-py's own parser reads from the connection itself")
    ours, theirs = socket.socketpair()
    with ours:
        ear = Ear(SimpleNamespace(_sock=ours))
        with theirs:
            for piece in sent:
                theirs.sendall(piece)
        if error is None:
            assert ear.read() == b"hello"
        else:
            with pytest.raises(error):
                ear.read()

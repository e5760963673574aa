from __future__ import annotations

import http.client
import os
import resource
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import redis as redis_py
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from pykiq.config import Config
from pykiq.errors import AddressTaken, ConfigError
from pykiq.observe import endpoint as module
from pykiq.observe.backlog import Backlog
from pykiq.observe.endpoint import LONGEST, MOST, Endpoint
from pykiq.observe.observer import by_kind
from pykiq.observe.prometheus import Metrics
from pykiq.store.connection import connect
from tests.observe.jobs import settled
from tests.servers import free_port, wait_until


def yes() -> bool:
    return True


@contextmanager
def serving(
    registry: CollectorRegistry | None = None, alive: Callable[[], bool] = yes, ready: Callable[[], bool | str] = yes
) -> Iterator[Endpoint]:
    shown = registry or CollectorRegistry()
    with Endpoint("127.0.0.1", 0, registry=lambda: shown, alive=alive, ready=ready) as endpoint:
        yield endpoint


def ask(endpoint: Endpoint, path: str, method: str = "GET", **headers: str) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type") or "", answer.read()
    finally:
        connection.close()


def test_prometheus_can_scrape_jobs_and_backlog(redis: redis_py.Redis) -> None:
    redis.lpush("queue:critical", "{}", "{}")
    metrics = Metrics(
        concurrency=10,
        busy=lambda: 1,
        in_flight=lambda: 1,
        quiet=lambda: False,
        backlog=Backlog(lambda: redis, ["critical"]),
    )
    metrics.counted(by_kind([settled()]))
    with serving(metrics.registry) as endpoint:
        status, kind, body = ask(endpoint, "/metrics")
    assert status == 200
    assert kind.startswith("text/plain; version=0.0.4")
    values = {
        sample.name: sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }
    assert values["pykiq_jobs_total"] == 1
    assert values["pykiq_busy"] == 1
    assert values["pykiq_queue_size"] == 2
    assert values["pykiq_redis_up"] == 1


def test_openmetrics_is_spoken_to_who_asks_for_it() -> None:
    metrics = Metrics(concurrency=10, busy=lambda: 1, in_flight=lambda: 1, quiet=lambda: False)
    with serving(metrics.registry) as endpoint:
        status, kind, body = ask(endpoint, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert status == 200
    assert kind.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_process_metrics_are_there_while_redis_is_not() -> None:
    with connect(Config.of(redis=f"redis://127.0.0.1:{free_port()}/0")) as gone:
        metrics = Metrics(
            concurrency=10,
            busy=lambda: 1,
            in_flight=lambda: 1,
            quiet=lambda: False,
            backlog=Backlog(lambda: gone, ["low"]),
        )
        with serving(metrics.registry) as endpoint:
            status, _, body = ask(endpoint, "/metrics")
    assert status == 200
    assert b"\npykiq_concurrency 10.0\n" in body
    assert b"\npykiq_redis_up 0.0\n" in body


@pytest.mark.parametrize("path", ["/live", "/ready"])
def test_health_follows_its_check(path: str) -> None:
    well = True
    checks = {"alive" if path == "/live" else "ready": lambda: well}
    with serving(**checks) as endpoint:
        assert ask(endpoint, path)[0] == 200
        well = False
        assert ask(endpoint, path)[0] == 503
        well = True
        assert ask(endpoint, path + "?verbose=1")[0] == 200


def test_live_and_ready_are_two_questions() -> None:
    with serving(alive=lambda: True, ready=lambda: False) as endpoint:
        assert ask(endpoint, "/live")[:3:2] == (200, b"alive\n")
        assert ask(endpoint, "/ready")[:3:2] == (503, b"not ready\n")


def test_a_check_may_say_why() -> None:
    with serving(ready=lambda: "quiet") as endpoint:
        assert ask(endpoint, "/ready")[:3:2] == (503, b"not ready: quiet\n")


def test_a_check_that_raises_is_a_no_without_a_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    def broken() -> bool:
        raise RuntimeError("secret detail")

    with serving(ready=broken) as endpoint:
        status, _, body = ask(endpoint, "/ready")
    assert (status, body) == (503, b"not ready\n")
    assert "Traceback" not in capfd.readouterr().err


def test_a_collector_that_raises_is_an_error_without_a_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    class Broken:
        def collect(self) -> Iterator[GaugeMetricFamily]:
            raise RuntimeError("secret detail")

        def describe(self) -> list[GaugeMetricFamily]:
            return []

    registry = CollectorRegistry()
    registry.register(Broken())  # type: ignore[arg-type]
    with serving(registry) as endpoint:
        status, _, body = ask(endpoint, "/metrics")
        assert ask(endpoint, "/live")[0] == 200
    assert (status, body) == (500, b"error\n")
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("path", ["/metrics", "/live", "/nowhere"])
def test_head_answers_without_a_body(path: str) -> None:
    with serving() as endpoint:
        status, kind, body = ask(endpoint, path, "HEAD")
        assert (status, kind) == ask(endpoint, path)[:2]
    assert body == b""


def test_other_paths_and_methods_are_refused_in_plain_text() -> None:
    with serving() as endpoint:
        status, kind, body = ask(endpoint, "/<script>")
        assert (status, kind) == (404, "text/plain; charset=utf-8")
        assert b"script" not in body
        status, kind, body = ask(endpoint, "/live", "POST")
        assert (status, kind) == (501, "text/plain; charset=utf-8")
        assert b"<" not in body


def test_requests_are_not_logged(capfd: pytest.CaptureFixture[str]) -> None:
    with serving() as endpoint:
        ask(endpoint, "/live")
        ask(endpoint, "/nowhere")
    assert capfd.readouterr() == ("", "")


def test_a_client_that_goes_away_leaves_the_others_served(capfd: pytest.CaptureFixture[str]) -> None:
    with serving() as endpoint:
        with socket.create_connection(("127.0.0.1", endpoint.port)) as rude:
            rude.sendall(b"GET /met")
        assert ask(endpoint, "/live")[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_a_client_that_says_nothing_does_not_block_the_others_or_the_stop() -> None:
    with serving() as endpoint, socket.create_connection(("127.0.0.1", endpoint.port)):
        assert ask(endpoint, "/live")[0] == 200


def test_a_port_in_use_is_one_clear_line() -> None:
    with serving() as endpoint, pytest.raises(AddressTaken) as caught:
        Endpoint("127.0.0.1", endpoint.port, registry=CollectorRegistry, alive=yes, ready=yes)
    assert str(caught.value) == (
        f"the metrics port 127.0.0.1:{endpoint.port} cannot be opened: Address already in use; "
        "choose another with --metrics-port, or 0 for any free one"
    )


@pytest.mark.parametrize(("host", "port"), [("no-such-host.invalid", 0), ("127.0.0.1", 70_000)])
def test_an_address_that_cannot_be_is_a_config_error(host: str, port: int) -> None:
    with pytest.raises(ConfigError, match=f"the metrics port {host}:{port} cannot be opened"):
        Endpoint(host, port, registry=CollectorRegistry, alive=yes, ready=yes)


def test_after_the_stop_the_port_is_closed() -> None:
    with serving() as endpoint:
        assert ask(endpoint, "/live")[0] == 200

    def closed() -> bool:
        try:
            socket.create_connection(("127.0.0.1", endpoint.port), timeout=1).close()
        except ConnectionRefusedError:
            return True
        return False

    wait_until(closed, 5, "the port closing")


def test_an_endpoint_that_was_never_started_can_be_stopped() -> None:
    Endpoint("127.0.0.1", 0, registry=CollectorRegistry, alive=yes, ready=yes).stop()


# Clients that mean no good, or are broken.


def threads() -> int:
    return sum("process_request_thread" in thread.name for thread in threading.enumerate())


def connected(endpoint: Endpoint) -> socket.socket:
    return socket.create_connection(("127.0.0.1", endpoint.port), timeout=10)


def is_hung_up(client: socket.socket) -> bool:
    try:
        while client.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass
    return True


def drip(client: socket.socket) -> None:
    """A byte now and then, for as long as somebody listens."""
    client.settimeout(0.05)
    while True:
        try:
            client.sendall(b"x")
            if not client.recv(100):
                return
        except TimeoutError:
            continue
        except OSError:
            return


def never_read(client: socket.socket) -> None:
    """Ask for more than the system keeps for a client, and do not take it."""
    client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
    time.sleep(0.7)
    client.settimeout(5)
    is_hung_up(client)


@pytest.mark.parametrize("client", [is_hung_up, drip, never_read], ids=["says nothing", "drips", "does not read"])
def test_a_connection_has_a_deadline_as_a_whole(
    client: Callable[[socket.socket], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DEADLINE", 0.3)

    class Long:
        def collect(self) -> Iterator[GaugeMetricFamily]:
            for number in range(20):
                yield GaugeMetricFamily(f"long_{number}", "x" * 1_000_000, value=1)

        def describe(self) -> list[GaugeMetricFamily]:
            return []

    registry = CollectorRegistry()
    registry.register(Long())  # type: ignore[arg-type]
    with serving(registry) as endpoint, connected(endpoint) as rude:
        client(rude)
        wait_until(lambda: threads() == 0, 10, "the end of its thread")


def test_many_silent_clients_keep_nobody_from_an_answer() -> None:
    rude: list[socket.socket] = []
    with serving() as endpoint:
        try:
            for _ in range(5 * MOST):
                rude.append(connected(endpoint))
                if len(rude) % MOST == 0:
                    assert ask(endpoint, "/live")[0] == 200
                    assert threads() <= 2 * MOST
            wait_until(lambda: threads() <= MOST, 10, "the first of them being let go")
            assert is_hung_up(rude[0]), "the oldest"
        finally:
            for one in rude:
                one.close()


def test_what_collects_for_long_is_not_joined_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    clients: list[socket.socket] = []

    def slow() -> bool:
        return go_on.wait(20)

    with serving(ready=slow) as endpoint:
        try:
            for _ in range(4 * MOST):
                clients.append(connected(endpoint))
                clients[-1].sendall(b"GET /ready HTTP/1.0\r\n\r\n")
            wait_until(lambda: threads() == 2 * MOST, 10, "the threads")
            assert is_hung_up(clients[-1])
            assert threads() == 2 * MOST
            go_on.set()
            wait_until(lambda: threads() == 0, 10, "their end")
            assert ask(endpoint, "/ready")[0] == 200
        finally:
            go_on.set()
            for one in clients:
                one.close()


@pytest.mark.parametrize("part", [b"GET /" + b"x" * 4 * LONGEST, b"GET /live HTTP/1.0\r\n" + b"X: y\r\n" * LONGEST])
def test_a_request_is_read_up_to_a_bound(part: bytes) -> None:
    with serving() as endpoint, connected(endpoint) as rude:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "DEADLINE", 60.0)
            rude.sendall(part)  # and no end of it
            assert is_hung_up(rude)
        assert ask(endpoint, "/live")[0] == 200


def test_two_scrapes_are_answered_at_a_time() -> None:
    at_once: list[int] = []
    inside = threading.Semaphore(0)
    go_on = threading.Event()

    class Slow:
        def collect(self) -> Iterator[GaugeMetricFamily]:
            at_once.append(1)
            inside.release()
            go_on.wait(20)
            at_once.pop()
            yield GaugeMetricFamily("slow", "x", value=1)

        def describe(self) -> list[GaugeMetricFamily]:
            return []

    registry = CollectorRegistry()
    registry.register(Slow())  # type: ignore[arg-type]
    with serving(registry) as endpoint:
        clients = [connected(endpoint) for _ in range(6)]
        for client in clients:
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert inside.acquire(timeout=10)
        assert inside.acquire(timeout=10)
        assert ask(endpoint, "/live")[0] == 200
        assert len(at_once) == module.SCRAPES
        go_on.set()
        for client in clients:
            assert client.recv(100).startswith(b"HTTP/1.0 200")
            client.close()


def test_nobody_who_asks_nothing_wakes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float | None] = []
    select = selectors.PollSelector.select

    def told(self: selectors.PollSelector, timeout: float | None = None) -> object:
        waits.append(timeout)
        return select(self, timeout)

    monkeypatch.setattr(selectors.PollSelector, "select", told)
    with serving() as endpoint:
        wait_until(lambda: waits == [None], what="a wait without an end")
        with socket.create_connection(("127.0.0.1", endpoint.port)):
            wait_until(lambda: len(waits) == 2, what="the connection taken")
            assert module.DEADLINE - 1 < (waits[1] or 0) <= module.DEADLINE + 0.1, "until its time is over"
        assert ask(endpoint, "/live")[0] == 200
        wait_until(lambda: len(waits) >= 3)


def test_a_process_that_a_handler_has_forked_does_not_keep_it_from_stopping() -> None:
    with serving() as endpoint:
        child = os.fork()
        if not child:
            time.sleep(60)
            os._exit(0)
        endpoint.stop()
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "that one lives yet"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_without_a_descriptor_the_loop_rests_and_answers_later(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[float] = []
    real = socket.socket.accept

    def accept(self: socket.socket) -> object:
        attempts.append(time.monotonic())
        return real(self)

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    with serving() as endpoint, socket.socket() as client:
        monkeypatch.setattr(socket.socket, "accept", accept)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
            with suppress(OSError):
                while True:
                    held.append(os.dup(0))
            client.connect(("127.0.0.1", endpoint.port))
            client.sendall(b"GET /live HTTP/1.0\r\n\r\n")
            wait_until(lambda: len(attempts) >= 3, 10, "attempts")
            assert attempts[2] - attempts[0] >= module.REST
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for one in held:
                os.close(one)
        client.settimeout(10)
        assert client.recv(100).startswith(b"HTTP/1.0 200")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "127.0.0.1"])
def test_where_it_can_be_asked_is_announced(host: str, capfd: pytest.CaptureFixture[str]) -> None:
    if host == "::" and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    from tests.logs import capture_logs

    with Endpoint(host, 0, registry=CollectorRegistry, alive=yes, ready=yes) as endpoint:
        assert ask(endpoint, "/live")[0] == 200  # over IPv4
        with capture_logs() as lines:
            endpoint.announce()
    [line] = lines
    shown = f"[{host}]" if ":" in host else host
    assert (line["port"], line["url"]) == (endpoint.port, f"http://{shown}:{endpoint.port}/metrics")
    assert ("open_to" in line) == (host in module.EVERYWHERE)

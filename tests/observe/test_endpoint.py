from __future__ import annotations

import http.client
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis as redis_py
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from pykiq.config import Config
from pykiq.errors import ConfigError
from pykiq.observe.backlog import Backlog
from pykiq.observe.endpoint import Endpoint
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
    with serving() as endpoint, pytest.raises(ConfigError) as caught:
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

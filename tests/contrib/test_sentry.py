"""Sentry: what Ruby's SDK wrote is continued, what is pushed is what it would have written, and failures arrive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.consts import DEFAULT_OPTIONS
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

import pykiq
from pykiq.contrib import sentry
from pykiq.errors import UnknownClass
from pykiq.jobs.lifecycle import lifecycle
from pykiq.middleware.around import run_client
from tests.contrib.conftest import execute, steps

GEMS = ("sentry-sidekiq-5.18.2", "sentry-sidekiq-7.1.0")
CONTINUED = [
    pytest.param(step, id=f"{gem}-{number}")
    for gem in GEMS
    for number, step in enumerate(steps(gem, "payloads"))
    if step.get("server_span") and step["server_span"]["sampled"]
]


class Collected(Transport):
    """A transport that keeps what it is given."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.items: list[tuple[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.items += [(str(item.headers["type"]), item.payload.json) for item in envelope.items]

    def of(self, kind: str) -> list[Any]:
        return [payload for type_, payload in self.items if type_ == kind]


def start(**options: Any) -> Collected:
    collected = Collected()
    sentry_sdk.init(
        dsn="https://12345@sentry.example.com/1",
        transport=collected,
        default_integrations=False,
        auto_enabling_integrations=False,
        **{"traces_sample_rate": 1.0, **options},
    )
    return collected


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    with sentry_sdk.isolation_scope():
        sentry.install()
        yield
        sentry.uninstall()
    sentry_sdk.get_client().close(timeout=0)
    sentry_sdk.get_global_scope().set_client(None)


def pushed(**keys: Any) -> dict[str, Any]:
    job = run_client(pykiq.client_middleware, {"class": "A", "queue": "q", "args": [1], "jid": "a", **keys})
    assert job is not None
    return job


@pytest.mark.parametrize("step", CONTINUED)
def test_an_execution_of_a_payload_of_ruby_s_is_ruby_s_transaction(step: dict[str, Any]) -> None:
    collected = start()
    execute(step["payload"])
    [transaction] = collected.of("transaction")
    mine, ruby = transaction["contexts"]["trace"], step["server_span"]
    assert transaction["transaction"] == ruby["name"]
    assert mine["op"] == "queue.process", "5.18 called it queue.sidekiq"
    if "trace_propagation_headers" in step["payload"]:
        assert (mine["trace_id"], mine.get("parent_span_id")) == (ruby["trace_id"], ruby["parent_span_id"])
    data = {key: mine["data"][key] for key in ruby.get("data", {})}
    latency = data.pop("messaging.message.receive.latency", 0)
    assert data == {key: value for key, value in ruby.get("data", {}).items() if "latency" not in key}
    assert isinstance(latency, int)
    assert latency >= 0


def test_a_push_outside_of_a_transaction_carries_the_trace_and_makes_no_span() -> None:
    collected = start(traces_sample_rate=None)
    headers = pushed()["trace_propagation_headers"]
    recorded = steps("sentry-sidekiq-7.1.0", "payloads")[0]["payload"]["trace_propagation_headers"]
    assert headers["sentry-trace"].count("-") == recorded["sentry-trace"].count("-") == 1
    assert set(headers) == set(recorded)
    assert collected.items == []


def test_a_push_inside_of_a_transaction_is_a_span_of_it() -> None:
    collected = start()
    with sentry_sdk.start_transaction(name="web") as web:
        headers = pushed()["trace_propagation_headers"]
    [transaction] = collected.of("transaction")
    [span] = transaction["spans"]
    assert (span["op"], span["description"]) == ("queue.publish", "A")
    assert span["data"]["messaging.message.id"] == "a"
    assert span["data"]["messaging.destination.name"] == "q"
    assert headers["sentry-trace"] == f"{web.trace_id}-{span['span_id']}-1"
    assert f"sentry-trace_id={web.trace_id}" in headers["baggage"]


def test_a_job_that_has_headers_keeps_them_when_a_poller_pushes_it_again() -> None:
    start()
    headers = {"sentry-trace": "x"}
    assert pushed(trace_propagation_headers=headers)["trace_propagation_headers"] is headers


def test_one_trace_runs_through_a_handler_to_the_job_it_pushes() -> None:
    collected = start()
    passed_on: list[Any] = []
    recorded = steps("sentry-sidekiq-7.1.0", "payloads")[1]["payload"]
    execute(recorded, lambda: passed_on.append(pushed()))
    [transaction] = collected.of("transaction")
    trace_id = recorded["trace_propagation_headers"]["sentry-trace"].split("-")[0]
    assert transaction["contexts"]["trace"]["trace_id"] == trace_id
    assert passed_on[0]["trace_propagation_headers"]["sentry-trace"].startswith(trace_id)


def test_the_user_is_pushed_only_where_the_sdk_may_send_it_and_arrives_in_the_job() -> None:
    start()
    sentry_sdk.set_user({"id": 7})
    assert "sentry_user" not in pushed()
    newer = "data_collection" in DEFAULT_OPTIONS
    collected = start(
        **({"data_collection": {"user_info": True, "queues": True}} if newer else {"send_default_pii": True})
    )
    sentry_sdk.set_user({"id": 7})
    assert pushed()["sentry_user"] == {"id": 7}
    execute({"class": "A", "jid": "a", "args": [], "sentry_user": {"id": 8}})
    assert collected.of("transaction")[0]["user"]["id"] == 8


def fail() -> None:
    raise ValueError("broken")


def test_a_failure_is_reported_with_the_job_but_not_its_arguments() -> None:
    collected = start()
    with pytest.raises(ValueError, match="broken"):
        execute({"class": "A", "jid": "a", "args": ["secret"], "retry": 5, "queue": "q"}, fail)
    [event] = collected.of("event")
    assert event["exception"]["values"][0]["type"] == "ValueError"
    assert event["transaction"] == "Sidekiq/A"
    assert (event["tags"]["queue"], event["tags"]["jid"]) == ("q", "a")
    assert event["contexts"]["sidekiq"]["retry"] == 5
    assert "secret" not in str(collected.items)
    [transaction] = collected.of("transaction")
    assert transaction["contexts"]["trace"]["status"] == "internal_error"
    assert transaction["contexts"]["trace"]["data"]["http.response.status_code"] == 500


@pytest.mark.parametrize("signal", [pykiq.Snooze(1), pykiq.Discard("no")], ids=["snooze", "discard"])
def test_a_signal_is_no_failure(signal: Exception) -> None:
    collected = start()

    def decide() -> None:
        raise signal

    with pytest.raises(type(signal)):
        execute({"class": "A", "jid": "a", "args": []}, decide)
    assert collected.of("event") == []
    assert collected.of("transaction")[0]["contexts"]["trace"].get("status") != "internal_error"


async def test_an_async_handler_runs_inside_its_transaction() -> None:
    collected = start()

    @pykiq.job
    async def work() -> str | None:
        return sentry_sdk.get_traceparent()

    traceparent = await work.aperform_inline()
    trace_id = collected.of("transaction")[0]["contexts"]["trace"]["trace_id"]
    assert str(traceparent).startswith(trace_id)


def test_failures_where_no_middleware_stands_are_reported_too_and_others_not_twice() -> None:
    collected = start()
    job = {"class": "A", "jid": "a", "args": []}
    lifecycle.fire_error(UnknownClass("no handler"), {"context": "job", "job": job})
    lifecycle.fire_error(ValueError("of a handler"), {"context": "job", "job": job})
    lifecycle.fire_error(RuntimeError("of a hook"), {"context": "startup hook"})
    reported = [(event["exception"]["values"][0]["value"], event.get("transaction")) for event in collected.of("event")]
    assert reported == [("no handler", "Sidekiq/A"), ("of a hook", None)]


@pytest.mark.parametrize("odd", [5, None, "x", {"sentry-trace": 5}, {"sentry-trace": "x", "baggage": "%%"}], ids=repr)
def test_headers_that_are_none_keep_no_job_from_running(odd: object) -> None:
    collected = start()
    execute({"class": "A", "args": [], "trace_propagation_headers": odd, "sentry_user": odd})
    assert len(collected.of("transaction")) == 1


def test_while_the_sdk_is_not_set_up_nothing_is_written() -> None:
    assert list(pushed()) == ["class", "queue", "args", "jid"]
    execute({"class": "A", "jid": "a", "args": []})


def test_installing_twice_leaves_one_of_each_and_uninstalling_none() -> None:
    sentry.install()
    assert (len(pykiq.client_middleware), len(pykiq.server_middleware)) == (1, 1)
    sentry.uninstall()
    assert (len(pykiq.client_middleware), len(pykiq.server_middleware)) == (0, 0)
    assert not lifecycle.listens_to_failures

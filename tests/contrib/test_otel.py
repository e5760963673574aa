"""Spans: those of Ruby's instrumentation for the very payloads that it wrote, and one trace across the border."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as contexts
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import pykiq
from pykiq.contrib import otel
from pykiq.errors import ConfigError
from pykiq.middleware.around import run_client
from tests.contrib.conftest import execute, steps

GEM = "opentelemetry-instrumentation-sidekiq-0.29.0"
STYLES = {"payloads_link_queue": ("link", "queue"), "payloads_child_job_class": ("child", "job_class")}
RECORDED = [
    pytest.param(name, step, id=f"{name}-{number}")
    for name in STYLES
    for number, step in enumerate(steps(GEM, name))
    if step.get("server_spans")
]
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Spans:
    """What was exported, and the provider that exports it."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("test")

    def __call__(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def one(self, kind: SpanKind) -> ReadableSpan:
        [found] = [span for span in self() if span.kind is kind]
        return found


@pytest.fixture
def spans() -> Iterator[Spans]:
    made = Spans()
    otel.install(tracer_provider=made.provider)
    yield made
    otel.uninstall()
    made.provider.shutdown()


def context_of(span: ReadableSpan) -> trace.SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context


def shown(span: ReadableSpan) -> dict[str, Any]:
    """A span in the words of the captures."""
    context, parent = context_of(span), span.parent
    return {
        "name": span.name,
        "kind": span.kind.name.lower(),
        "trace_id": f"{context.trace_id:032x}",
        "parent_span_id": f"{parent.span_id if parent else 0:016x}",
        "links": [f"{link.context.trace_id:032x}-{link.context.span_id:016x}" for link in span.links],
        "attributes": dict(span.attributes or {}),
        "events": [event.name for event in span.events],
        "status": span.status.description or "",
    }


@pytest.mark.parametrize(("name", "step"), RECORDED)
def test_an_execution_of_a_payload_of_ruby_s_has_ruby_s_span(name: str, step: dict[str, Any], spans: Spans) -> None:
    propagation, naming = STYLES[name]
    otel.install(propagation=propagation, span_naming=naming, tracer_provider=spans.provider)  # type: ignore[arg-type]
    seen: dict[str, Any] = {}
    execute(step["payload"], lambda: seen.update(baggage.get_all()))
    mine, ruby = shown(spans.one(SpanKind.CONSUMER)), step["server_spans"][0]
    if ruby["parent_span_id"] == "0" * 16:
        ruby = ruby | {"trace_id": mine["trace_id"]}  # a root's is drawn
    assert {key: ruby[key] for key in mine} == mine
    assert seen == step.get("baggage_seen", {})


@pytest.mark.parametrize(("name", "step"), [one for one in RECORDED if one.values[1]["client_spans"]])  # type: ignore[index]
def test_a_push_has_ruby_s_span_and_its_context_where_ruby_puts_it(
    name: str, step: dict[str, Any], spans: Spans
) -> None:
    propagation, naming = STYLES[name]
    otel.install(propagation=propagation, span_naming=naming, tracer_provider=spans.provider)  # type: ignore[arg-type]
    bare = {
        key: value for key, value in step["payload"].items() if key not in ("traceparent", "baggage", "enqueued_at")
    }
    pushed = run_client(pykiq.client_middleware, bare)
    assert pushed is not None
    span = spans.one(SpanKind.PRODUCER)
    mine, ruby = shown(span), step["client_spans"][0]
    drawn = {"trace_id": mine["trace_id"], "parent_span_id": mine["parent_span_id"]}
    assert {key: (ruby | drawn)[key] for key in mine} == mine
    assert [*pushed, "enqueued_at"] == [key for key in step["payload"] if key != "baggage"]
    context = context_of(span)
    assert pushed["traceparent"].startswith(f"00-{context.trace_id:032x}-{context.span_id:016x}-0")


def test_baggage_is_spelled_as_ruby_does(spans: Spans) -> None:
    [step] = [one for one in steps(GEM, "payloads_link_queue") if "baggage" in one["step"]]
    token = contexts.attach(baggage.set_baggage("user.id", step["baggage_seen"]["user.id"]))
    try:
        pushed = run_client(pykiq.client_middleware, {"class": "A", "queue": "q", "args": [], "jid": "a"})
    finally:
        contexts.detach(token)
    assert pushed is not None
    assert pushed["baggage"] == step["payload"]["baggage"]


def test_one_trace_runs_from_ruby_through_a_handler_to_the_job_it_pushes(spans: Spans) -> None:
    pushed: list[Any] = []

    def push() -> None:
        pushed.append(
            run_client(pykiq.client_middleware, {"class": "RubyJob", "queue": "ruby", "args": [], "jid": "r"})
        )

    execute({"class": "A", "jid": "a", "args": [], "traceparent": TRACEPARENT, "tracestate": "congo=t61"}, push)
    consumer, producer = spans.one(SpanKind.CONSUMER), spans.one(SpanKind.PRODUCER)
    assert {context_of(span).trace_id for span in spans()} == {0x0AF7651916CD43DD8448EB211C80319C}
    assert consumer.parent is not None
    assert consumer.parent.span_id == 0xB7AD6B7169203331
    assert producer.parent == context_of(consumer)
    assert pushed[0]["traceparent"].split("-")[2] == f"{context_of(producer).span_id:016x}"
    assert pushed[0]["tracestate"] == "congo=t61"


def test_a_handler_s_push_carries_its_own_span_and_not_the_keys_of_the_job_it_runs_in(spans: Spans) -> None:
    @pykiq.job
    def inner() -> dict[str, Any]:
        return pykiq.current_job().payload

    @pykiq.job
    def outer() -> Any:
        pykiq.current_job().payload["x-datadog-trace-id"] = "1"
        pykiq.current_job().payload["locale"] = "fr"
        return inner.perform_inline()

    with spans.tracer.start_as_current_span("web"):
        payload = outer.perform_inline()
    pushes = {f"{context_of(span).span_id:016x}" for span in spans() if span.kind is SpanKind.PRODUCER}
    assert payload["traceparent"].split("-")[2] in pushes
    assert payload["locale"] == "fr"
    assert "x-datadog-trace-id" not in payload
    assert len({context_of(span).trace_id for span in spans()}) == 1
    assert len(spans()) == 5


async def test_an_async_handler_runs_inside_its_span(spans: Spans) -> None:
    @pykiq.job
    async def work() -> int:
        return trace.get_current_span().get_span_context().span_id

    assert await work.aperform_inline() == context_of(spans.one(SpanKind.CONSUMER)).span_id
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_job_that_has_a_context_keeps_it_when_a_poller_pushes_it_again(spans: Spans) -> None:
    job = {"class": "A", "queue": "q", "args": [], "jid": "a", "traceparent": TRACEPARENT}
    assert run_client(pykiq.client_middleware, dict(job)) == job
    assert spans() == []


def test_a_retry_begins_a_trace_of_its_own_that_is_linked_to_the_first(spans: Spans) -> None:
    execute({"class": "A", "jid": "a", "args": [], "retry_count": 0, "traceparent": TRACEPARENT})
    span = spans.one(SpanKind.CONSUMER)
    assert shown(span)["links"] == ["0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"]
    assert span.parent is None


@pytest.mark.parametrize(("executions", "linked"), [(0, False), (1, True)])
def test_a_try_that_a_retry_on_has_enqueued_is_a_retry_too(spans: Spans, executions: int, linked: bool) -> None:
    data = {"job_class": "A", "executions": executions, "arguments": []}
    execute({"class": "Sidekiq::ActiveJob::Wrapper", "jid": "a", "args": [data], "traceparent": TRACEPARENT})
    span = spans.one(SpanKind.CONSUMER)
    assert (span.parent is None, len(span.links)) == (linked, int(linked))


@pytest.mark.parametrize(
    "keys",
    [
        {"trace_propagation_headers": {"sentry-trace": "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1"}},
        {"x-datadog-trace-id": "9532127138774266268", "x-datadog-parent-id": "13235353014750950193",
         "x-datadog-tags": "_dd.p.tid=0af7651916cd43dd"},
    ],
    ids=["sentry", "datadog"],
)  # fmt: skip
def test_a_trace_of_sentry_s_or_datadog_s_is_continued_where_there_is_no_traceparent(
    keys: dict[str, Any], spans: Spans
) -> None:
    execute({"class": "A", "jid": "a", "args": [], **keys})
    assert shown(spans.one(SpanKind.CONSUMER))["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert shown(spans.one(SpanKind.CONSUMER))["parent_span_id"] == "b7ad6b7169203331"


@pytest.mark.parametrize("odd", [5, None, ["x"], {}, "nonsense"])
def test_a_traceparent_that_is_none_keeps_no_job_from_running(odd: object, spans: Spans) -> None:
    execute({"class": "A", "args": [], "traceparent": odd, "baggage": odd, "created_at": "x", "enqueued_at": None})
    assert shown(spans.one(SpanKind.CONSUMER))["events"] == []


def test_a_failure_is_on_the_span_in_ruby_s_words(spans: Spans) -> None:
    def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        execute({"class": "A", "jid": "a", "args": []}, fail)
    span = spans.one(SpanKind.CONSUMER)
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "Unhandled exception of type: ValueError"
    assert [event.name for event in span.events] == ["exception"]


@pytest.mark.parametrize("signal", [pykiq.Snooze(1), pykiq.Discard("no")], ids=["snooze", "discard"])
def test_a_signal_is_no_failure(signal: Exception, spans: Spans) -> None:
    def decide() -> None:
        raise signal

    with pytest.raises(type(signal)):
        execute({"class": "A", "jid": "a", "args": []}, decide)
    span = spans.one(SpanKind.CONSUMER)
    assert (span.status.status_code, span.events) == (StatusCode.UNSET, ())


def test_without_propagation_nothing_of_the_payload_is_looked_at(spans: Spans) -> None:
    otel.install(propagation="none", peer_service="billing", tracer_provider=spans.provider)
    execute({"class": "A", "jid": "a", "args": [], "traceparent": TRACEPARENT})
    span = spans.one(SpanKind.CONSUMER)
    assert (span.parent, list(span.links)) == (None, [])
    assert (span.attributes or {})["peer.service"] == "billing"


def test_installing_twice_leaves_one_of_each_and_uninstalling_none(spans: Spans) -> None:
    otel.install(tracer_provider=spans.provider)
    assert (len(pykiq.client_middleware), len(pykiq.server_middleware)) == (1, 1)
    otel.uninstall()
    assert (len(pykiq.client_middleware), len(pykiq.server_middleware)) == (0, 0)


def test_an_unknown_style_is_refused() -> None:
    with pytest.raises(ConfigError, match="`propagation` is 'parent'; expected one of 'child', 'link', 'none'"):
        otel.install(propagation="parent")  # type: ignore[arg-type]


@pytest.mark.parametrize(("module", "package"), [("otel", "opentelemetry-api"), ("sentry", "sentry-sdk")])
def test_without_the_library_the_import_says_what_to_install(module: str, package: str) -> None:
    code = (
        "import sys; sys.modules.update({'opentelemetry': None, 'sentry_sdk': None})\n"
        f"try:\n    import pykiq.contrib.{module}\nexcept ImportError as error:\n    print(error)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"pip install {package}" in ran.stdout

"""OpenTelemetry: a producer span around every push and a consumer span around every execution.

    import pykiq.contrib.otel
    pykiq.contrib.otel.install()

Names, attributes and events are those of Ruby's opentelemetry-instrumentation-sidekiq 0.29 (captures in
`compat_fixtures/opentelemetry-instrumentation-sidekiq-0.29.0/`), and the context is where that keeps it, at the top
level of the payload: one trace runs from Rails through Python and back.

Unlike Ruby's, a context that a job has already is never replaced when a poller pushes it again (ECOSYSTEM.md 6.3): a
scheduled job or a retry stays findable from the trace that pushed it.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, Literal, get_args

from pykiq.client import carrying
from pykiq.contrib import NO_FAILURE
from pykiq.errors import ConfigError
from pykiq.jobs.context import JobContext
from pykiq.middleware.chain import CallNext, Job, client_middleware, server_middleware
from pykiq.version import __version__
from pykiq.wire import activejob, carried
from pykiq.wire.dialect import seconds

try:
    from opentelemetry import context as contexts
    from opentelemetry import propagate, trace
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
except ImportError as error:
    raise ImportError("pykiq.contrib.otel needs OpenTelemetry: pip install opentelemetry-api") from error

Propagation = Literal["child", "link", "none"]
SpanNaming = Literal["queue", "job_class"]

_installed: Tracing | None = None


def install(
    *,
    propagation: Propagation = "child",
    span_naming: SpanNaming = "queue",
    peer_service: str | None = None,
    tracer_provider: trace.TracerProvider | None = None,
) -> None:
    """Trace all pushes and executions of this process from now on. A second call replaces the first.

    `propagation`: an execution continues the trace that pushed it (`child`), begins a trace of its own with a link to
    it (`link`, the default of Ruby's), or knows nothing of it (`none`). A retry always begins its own, with a link.
    `span_naming`: spans are named after the queue, as Ruby's are by default, or after the class.
    `peer_service` becomes the attribute `peer.service`; `tracer_provider` is the global one unless given.
    Raises ConfigError for another value.
    """
    global _installed
    _check("propagation", propagation, get_args(Propagation))
    _check("span_naming", span_naming, get_args(SpanNaming))
    uninstall()
    _installed = Tracing(
        trace.get_tracer("pykiq", __version__, tracer_provider), propagation, span_naming == "job_class", peer_service
    )
    client_middleware.prepend(_installed.push)
    server_middleware.prepend(_installed.run)
    carrying.left_to_others.update(_REPLACED)


def uninstall() -> None:
    """Undo `install`."""
    global _installed
    if _installed is not None:
        client_middleware.remove(_installed.push)
        server_middleware.remove(_installed.run)
        carrying.left_to_others.difference_update(_REPLACED)
        _installed = None


class Tracing:
    """The two middlewares with their settings."""

    def __init__(
        self, tracer: trace.Tracer, propagation: Propagation, by_class: bool, peer_service: str | None
    ) -> None:
        self._tracer = tracer
        self._propagation = propagation
        self._by_class = by_class
        self._common = {"messaging.system": "sidekiq"}
        if peer_service:
            self._common["peer.service"] = peer_service

    def push(self, job: Job, call_next: CallNext) -> Job | None:
        """Around a push: the span, and its context into the payload. Nothing for a job that has one already."""
        if any(name in job for name in propagate.get_global_textmap().fields):
            return call_next(job)
        queue, jid = str(job["queue"]), str(job.get("jid") or "")
        attributes = self._attributes(job, queue, jid)
        name = self._name(job, queue, "publish")
        with self._tracer.start_as_current_span(name, kind=SpanKind.PRODUCER, attributes=attributes) as span:
            propagate.inject(job)
            if isinstance(job.get("baggage"), str):
                job["baggage"] = job["baggage"].replace("+", "%20")  # a space, as Ruby spells it
            _stamp(span, job, "created_at")
            return call_next(job)

    def run(self, job: JobContext) -> Generator[None, Any, None]:
        """Around an execution."""
        context, links = self._origin(job)
        attributes = self._attributes(job.payload, job.queue, job.jid) | {"messaging.operation": "process"}
        name = self._name(job.payload, job.queue, "process")
        span = self._tracer.start_span(name, context, SpanKind.CONSUMER, attributes, links)
        token = contexts.attach(trace.set_span_in_context(span, context))
        try:
            _stamp(span, job.payload, "created_at")
            _stamp(span, job.payload, "enqueued_at")
            yield
        except NO_FAILURE:
            raise
        except BaseException as error:
            span.record_exception(error)
            span.set_status(Status(StatusCode.ERROR, f"Unhandled exception of type: {type(error).__qualname__}"))
            raise
        finally:
            contexts.detach(token)
            span.end()

    def _origin(self, job: JobContext) -> tuple[Context, list[Link]]:
        """Under which context the job's span begins, and what it is linked to."""
        if self._propagation == "none":
            return contexts.get_current(), []
        context = propagate.extract(_texts(job.payload), trace.set_span_in_context(trace.INVALID_SPAN))
        pushed_by = trace.get_current_span(context).get_span_context()
        if not pushed_by.is_valid and (other := carried.trace(job.payload)) is not None:
            pushed_by = _remote(other)
            context = trace.set_span_in_context(NonRecordingSpan(pushed_by), context)
        if self._propagation == "child" and not _is_retry(job):
            return context, []
        links = [Link(pushed_by)] if pushed_by.is_valid else []
        return trace.set_span_in_context(trace.INVALID_SPAN, context), links

    def _attributes(self, payload: Mapping[str, Any], queue: str, jid: str) -> dict[str, str]:
        return {
            **self._common,
            "messaging.sidekiq.job_class": _job_class(payload),
            "messaging.message_id": jid,
            "messaging.destination": queue,
            "messaging.destination_kind": "queue",
        }

    def _name(self, payload: Mapping[str, Any], queue: str, what: str) -> str:
        return f"{_job_class(payload) if self._by_class else queue} {what}"


_REPLACED = frozenset({*carried.W3C, *carried.DATADOG})
"""Context of the running job that its own span takes the place of. Datadog would believe its keys before this one's."""


def _is_retry(job: JobContext) -> bool:
    """Whether it has been tried before: by Sidekiq, or by the `retry_on` of an ActiveJob."""
    data = activejob.job_data(job.payload) if job.payload.get("class") in activejob.WRAPPERS else None
    return job.attempt > 0 or (data is not None and activejob.count(data.get("executions")) > 0)


def _texts(payload: Mapping[str, Any]) -> dict[str, str]:
    """What the propagator may read: it raises for a value that is no text, and payloads hold anything."""
    fields = propagate.get_global_textmap().fields
    return {name: value for name in fields if isinstance(value := payload.get(name), str)}


def _remote(found: carried.Trace) -> SpanContext:
    flags = TraceFlags(TraceFlags.DEFAULT if found.sampled is False else TraceFlags.SAMPLED)
    return SpanContext(int(found.trace_id, 16), int(found.span_id, 16), is_remote=True, trace_flags=flags)


def _job_class(payload: Mapping[str, Any]) -> str:
    """The class under a wrapper, as Ruby's spans name it."""
    wrapped = payload.get("wrapped")
    return str(wrapped if isinstance(wrapped, str) and wrapped else payload.get("class"))


def _stamp(span: Span, payload: Mapping[str, Any], name: str) -> None:
    """An event at the moment that a key of the payload tells, in either unit."""
    moment = seconds(payload.get(name))
    if moment is not None:
        span.add_event(name, timestamp=int(moment * 1e9))


def _check(name: str, given: object, allowed: tuple[str, ...]) -> None:
    if given not in allowed:
        raise ConfigError(f"`{name}` is {given!r:.80}; expected one of {', '.join(map(repr, allowed))}")

"""Python between two Ruby jobs: notes the context it was pushed with and pushes on. With spans, kept in Redis."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import redis
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

import pykiq
import pykiq.contrib.otel

NOTES = redis.Redis.from_url(os.environ["REDIS_URL"], protocol=2)
ContextBack = pykiq.remote("ContextBack", queue="ruby")


class Kept(SpanExporter):
    """Spans go into a list in Redis, where the test reads them."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            NOTES.rpush("spans", span.to_json(indent=None))
        return SpanExportResult.SUCCESS


if os.environ.get("TRACED"):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Kept()))
    pykiq.contrib.otel.install(tracer_provider=provider)


@pykiq.client_middleware.add
def count_pushes(job: dict[str, Any], call_next: Any) -> Any:
    """What context.rb has in Ruby."""
    job["pushes"] = job.get("pushes", 0) + 1
    return call_next(job)


def note(**said: Any) -> None:
    NOTES.rpush("notes", json.dumps({"by": "python", "jid": pykiq.current_job().jid, **said}))


@pykiq.job("Ctx::Relay", queue="python")
def relay(name: str) -> None:
    job = pykiq.current_job()
    note(name=name, locale=job.locale, attributes=job.attributes)
    ContextBack.perform_async(name)


@pykiq.job("Ctx::AsyncRelay", queue="python")
async def relay_async(name: str) -> None:
    job = pykiq.current_job()
    note(name=name, locale=job.locale, attributes=job.attributes)
    await ContextBack.aperform_async(name)


@pykiq.job("Ctx::Later", queue="python")
def later() -> None:
    note(pushes=pykiq.current_job().payload["pushes"])


@pykiq.job("OW", queue="python")
def traced(number: int) -> None:
    """The class in the captures of OpenTelemetry's gem."""
    ContextBack.perform_async("traced")

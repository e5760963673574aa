"""Sentry: failures of jobs, a transaction around every execution, and one trace across Ruby and Python.

    import sentry_sdk, pykiq.contrib.sentry
    sentry_sdk.init(dsn="…", traces_sample_rate=0.1)
    pykiq.contrib.sentry.install()

What is written into the payload, and how transactions and spans are called, is as sentry-sidekiq 5.18 and 7.1 have it
(captures in `compat_fixtures/sentry-sidekiq-7.1.0/`).
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from typing import Any

from pykiq.client import carrying
from pykiq.contrib import NO_FAILURE
from pykiq.errors import JobTimeout, UnknownClass
from pykiq.jobs.context import JobContext
from pykiq.jobs.lifecycle import lifecycle
from pykiq.middleware.chain import CallNext, Job, client_middleware, server_middleware
from pykiq.wire import carried
from pykiq.wire.payload import latency

try:
    import sentry_sdk
    from sentry_sdk.scope import should_send_default_pii
except ImportError as error:
    raise ImportError("pykiq.contrib.sentry needs the Sentry SDK: pip install sentry-sdk") from error

HEADERS, USER = carried.SENTRY
ORIGIN = "auto.queue.pykiq"

OUTSIDE = (UnknownClass, JobTimeout)
"""Failures that arise where no middleware stands."""


def install() -> None:
    """Report the failures of all jobs to Sentry, and trace pushes and executions if the SDK was told to trace.

    Before or after `sentry_sdk.init`: while the SDK is not set up, nothing happens. A second call changes nothing.
    """
    uninstall()
    client_middleware.prepend(push)
    server_middleware.prepend(run)
    lifecycle.error_handler(report)
    carrying.left_to_others.update(carried.SENTRY)


def uninstall() -> None:
    """Undo `install`."""
    client_middleware.remove(push)
    server_middleware.remove(run)
    lifecycle.remove(report)
    carrying.left_to_others.difference_update(carried.SENTRY)


def push(job: Job, call_next: CallNext) -> Job | None:
    """Around a push: a span when a transaction is under way, and the headers into the payload unless it has them."""
    if HEADERS in job or not sentry_sdk.get_client().is_active():
        return call_next(job)
    if sentry_sdk.get_current_span() is None:
        return call_next(_signed(job))
    with sentry_sdk.start_span(op="queue.publish", name=_job_class(job), origin=ORIGIN) as span:
        span.set_data("messaging.message.id", job.get("jid"))
        span.set_data("messaging.destination.name", job["queue"])
        return call_next(_signed(job))


def run(job: JobContext) -> Generator[None, Any, None]:
    """Around an execution: a scope of its own, a transaction that continues the trace, and its failure if it fails."""
    if not sentry_sdk.get_client().is_active():
        yield
        return
    signal: BaseException | None = None
    with sentry_sdk.isolation_scope() as scope:
        scope.clear_breadcrumbs()
        scope.set_tag("queue", job.queue)
        scope.set_tag("jid", job.jid)
        scope.set_context("sidekiq", _described(job.payload))
        user = job.payload.get(USER)
        if isinstance(user, dict):
            scope.set_user(user)
        name = f"Sidekiq/{_job_class(job.payload)}"
        continued = sentry_sdk.continue_trace(
            _headers(job.payload), op="queue.process", name=name, source="task", origin=ORIGIN
        )
        with sentry_sdk.start_transaction(continued) as transaction:
            _measure(transaction, job)
            try:
                yield
            except NO_FAILURE as raised:
                signal = raised  # past the transaction, which takes every exception for a failure
            except BaseException as raised:
                transaction.set_data("http.response.status_code", 500)
                sentry_sdk.capture_exception(raised)
                raise
            else:
                transaction.set_data("http.response.status_code", 200)
                transaction.set_status("ok")
    if signal is not None:
        try:
            raise signal
        finally:
            signal = None  # its traceback holds this frame, and so the job's locals


def report(error: BaseException, context: Mapping[str, Any]) -> None:
    """As an error handler: failures of hooks, and of jobs where no middleware stands."""
    if context.get("context") == "job" and not isinstance(error, OUTSIDE):
        return
    with sentry_sdk.isolation_scope() as scope:
        job = context.get("job")
        if isinstance(job, Mapping):
            scope.set_transaction_name(f"Sidekiq/{_job_class(job)}", source="task")
            scope.set_context("sidekiq", _described(job))
        scope.set_tag("pykiq.context", str(context.get("context")))
        sentry_sdk.capture_exception(error)


def _signed(job: Job) -> Job:
    """The job with the trace it is pushed in, and, where the SDK may send it, the user."""
    headers = {"sentry-trace": sentry_sdk.get_traceparent(), "baggage": sentry_sdk.get_baggage()}
    job[HEADERS] = {name: value for name, value in headers.items() if value}
    user = _user()
    if user and _may_send("user_info"):
        job.setdefault(USER, user)
    return job


def _may_send(what: str) -> bool:
    """Whether the SDK may send what may be personal: its `data_collection`, in older ones `send_default_pii`."""
    collection = sentry_sdk.get_client().options.get("data_collection")
    return bool(collection[what]) if collection and what in collection else should_send_default_pii()


def _user() -> dict[str, Any] | None:
    """The user of the scope; the SDK has no public way to ask for it."""
    for scope in (sentry_sdk.get_current_scope(), sentry_sdk.get_isolation_scope()):
        user = getattr(scope, "_user", None)
        if user:
            return dict(user)
    return None


def _headers(payload: Mapping[str, Any]) -> dict[str, str]:
    headers = payload.get(HEADERS)
    return {k: v for k, v in headers.items() if isinstance(v, str)} if isinstance(headers, dict) else {}


def _measure(transaction: Any, job: JobContext) -> None:
    transaction.set_data("messaging.message.id", job.jid)
    transaction.set_data("messaging.destination.name", job.queue)
    transaction.set_data("messaging.message.retry.count", job.attempt)
    waited = latency(job.payload, time.time())
    if waited is not None:
        transaction.set_data("messaging.message.receive.latency", round(waited * 1000))


def _described(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The job as an event shows it: with its arguments only where the SDK may send what may be personal."""
    hidden = (HEADERS, USER) if _may_send("queues") else (HEADERS, USER, "args")
    return {key: value for key, value in payload.items() if key not in hidden}


def _job_class(payload: Mapping[str, Any]) -> str:
    """The class under a wrapper."""
    wrapped = payload.get("wrapped")
    return str(wrapped if isinstance(wrapped, str) and wrapped else payload.get("class"))

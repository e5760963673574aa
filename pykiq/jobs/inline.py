"""Running a job here and now, which is what `perform_inline` does: for tests, consoles and scripts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from pykiq.client.base import new_jid
from pykiq.client.build import normalize
from pykiq.client.configure import current
from pykiq.errors import PykiqError
from pykiq.jobs.context import JobContext, enter, leave
from pykiq.jobs.handler import Handler
from pykiq.middleware.around import arun_server, run_server
from pykiq.middleware.chain import client_middleware, server_middleware
from pykiq.wire import exactjson, expiry, payload
from pykiq.wire.activejob import WRAPPERS
from pykiq.wire.dialect import SEVEN


def perform(handler: Handler, item: Mapping[str, Any]) -> Any:
    """Run the job through JSON and both middleware chains, and return what the handler returned.

    None when a client middleware stopped it or its `expiry` has passed. Whatever the job raises is raised; nothing is
    retried, Redis is not used.
    Raises PykiqError for an `async def` handler where an event loop runs already: await `aperform` there.
    """
    if handler.is_async:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(aperform(handler, item))
        raise PykiqError(
            f"perform_inline of the async handler {handler.title} inside an event loop; await aperform_inline"
        )
    context = _context(item)
    return None if context is None else run(handler, context)


async def aperform(handler: Handler, item: Mapping[str, Any]) -> Any:
    """The same for asyncio. A plain handler runs on the event loop and blocks it meanwhile."""
    context = _context(item)
    return None if context is None else await arun(handler, context)


def run(handler: Handler, context: JobContext) -> Any:
    """Run a `def` handler in this thread, inside the server middleware. Raises whatever the job raises."""
    handler = _runner(handler, context)
    token = enter(context)
    try:
        return run_server(server_middleware, context, lambda: handler.call(*_arguments(handler, context)))
    finally:
        leave(token)


async def arun(handler: Handler, context: JobContext) -> Any:
    """The same on the running event loop, where an `async def` handler is awaited."""
    handler = _runner(handler, context)

    async def call() -> Any:
        returned = handler.call(*_arguments(handler, context))
        return await returned if handler.is_async else returned

    token = enter(context)
    try:
        return await arun_server(server_middleware, context, call)
    finally:
        leave(token)


def _arguments(handler: Handler, context: JobContext) -> list[Any]:
    """The arguments as the middleware left them. Raises SignatureMismatch."""
    args = payload.arguments(context.payload)
    handler.check(args)
    return args


def _runner(handler: Handler, context: JobContext) -> Handler:
    """The handler, or what runs its ActiveJobs when the payload is one."""
    wrapped = payload.class_name(context.payload) in WRAPPERS and handler.name.removeprefix("::") not in WRAPPERS
    if not wrapped:
        return handler
    from pykiq.jobs.activejob import active  # as in jobs.declare

    return active(handler, inline=True)


def _context(item: Mapping[str, Any]) -> JobContext | None:
    """The job as a worker would see it: with everything a push adds, and read back from its bytes."""
    now = time.time()
    job = normalize(item, now=now, dialect=SEVEN, jid=new_jid, chain=client_middleware, strict=current().strict_args)
    if job is None:
        return None
    read = payload.parse(exactjson.dumps(job, SEVEN))
    if expiry.expired(read, now) is not None:
        return None
    return JobContext(read, read["queue"])

"""Running an ActiveJob: from the wrapper's payload to a call of the handler, by the rules of Rails (WIRE.md §15)."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from pykiq.client.envelope import split
from pykiq.client.times import Delay, Moment, number
from pykiq.errors import DeserializationError, Interrupted, PykiqError, RegistrationError, Signal, SignatureMismatch
from pykiq.jobs.ajrules import RetryOn, Rules, plain
from pykiq.jobs.context import current_job
from pykiq.jobs.handler import Handler
from pykiq.middleware.around import arun_server, run_server
from pykiq.middleware.chain import Chain, ServerMiddleware
from pykiq.wire.activejob import count
from pykiq.wire.ajarguments import decode
from pykiq.wire.ajvalues import GlobalID
from pykiq.wire.failure import Failure, describe

_NO_RULES = Rules()
_NOT_ERRORS = (Signal, Interrupted, asyncio.CancelledError)  # they say what shall become of the job; nobody rescues it

_locators: dict[str, Callable[[GlobalID], Any]] = {}


class Verdict(NamedTuple):
    """What a rescue decided about the job: another try `at` a moment (epoch seconds), or None for the end of it.

    The error is text: its traceback holds the frames that hold this.
    """

    at: float | None
    queue: str | None = None
    priority: int | None = None
    failure: Failure | None = None


class ActiveJob:
    """The ActiveJob that is running, by Rails' names: what hooks get, and `pykiq.activejob.current()`.

    `executions` counts this one. `arguments` and `keywords` are decoded; they are empty until they could be.
    `exception_executions` says how often each RetryOn has been the answer.
    """

    __slots__ = ("arguments", "data", "exception_executions", "executions", "keywords", "rules", "verdict")

    def __init__(self, data: Mapping[str, Any], rules: Rules) -> None:
        self.data = data
        self.rules = rules
        self.arguments: list[Any] = []
        self.keywords: dict[str, Any] = {}
        self.executions = count(data.get("executions")) + 1
        counters = data.get("exception_executions")
        self.exception_executions: dict[str, Any] | None = dict(counters) if isinstance(counters, dict) else None
        self.verdict: Verdict | None = None

    @property
    def job_id(self) -> str | None:
        """ActiveJob's own id, the same for all tries; each try has a jid of its own."""
        return self.data.get("job_id")

    @property
    def queue_name(self) -> str | None:
        return self.data.get("queue_name")

    @property
    def priority(self) -> int | None:
        return self.data.get("priority")

    @property
    def locale(self) -> str | None:
        return self.data.get("locale")

    @property
    def timezone(self) -> str | None:
        """The zone by Rails' name, such as `Paris`."""
        return self.data.get("timezone")

    def retry(
        self,
        *,
        wait: Delay | None = None,
        wait_until: Moment | None = None,
        queue: str | None = None,
        priority: int | None = None,
        error: BaseException | None = None,
    ) -> None:
        """Rails' `retry_job`: when this execution is over, enqueue the job again, as a new Sidekiq job.

        It happens in the step that acknowledges this one, and not at all if the job then fails after all.
        Raises PayloadError for a time that cannot be read.
        """
        at = time.time() + (0 if wait is None else number(wait, "wait"))
        if wait_until is not None:
            at = number(wait_until, "wait_until")
        self.verdict = Verdict(at, queue, priority, None if error is None else describe(error))

    def discard(self, error: BaseException) -> None:
        """The job is over because of `error`."""
        self.verdict = Verdict(None, failure=describe(error))
        self.run_after_discard(error)

    def run_after_discard(self, error: BaseException) -> None:
        """All of the hooks, then what the last one to fail raised."""
        raised: Exception | None = None
        for hook in self.rules.after_discard:
            try:
                hook(self, error)
            except Exception as failure:
                raised = failure
        if raised is not None:
            raise raised

    def count_for(self, key: str) -> int:
        """One more for a RetryOn's counter. A job without counters, older than Rails 6, has only its executions."""
        if self.exception_executions is None:
            return self.executions
        counted = self.exception_executions[key] = count(self.exception_executions.get(key)) + 1
        return counted

    def __repr__(self) -> str:
        return f"<ActiveJob {self.data.get('job_class')} {self.job_id}, execution {self.executions}>"


def current() -> ActiveJob:
    """The ActiveJob that is running here. Raises PykiqError where there is none."""
    job = current_job().active_job
    if job is None:
        raise PykiqError("the job that is running here is no ActiveJob: it came without Rails' envelope")
    return job


def locator(model: str) -> Callable[[Callable[[GlobalID], Any]], Callable[[GlobalID], Any]]:
    """Decorator: what handlers get for records of a Ruby model. Without one they get the GlobalID.

        @pykiq.activejob.locator("Person")
        def person(record: GlobalID) -> Person:
            return Person.objects.get(pk=record.id)

    What it raises becomes a DeserializationError, which `DiscardOn(DeserializationError)` is for. It is a plain
    function also for `async def` handlers, on whose event loop it runs: what takes long the handler had better do.
    Raises RegistrationError for a model that has one already, and for what is no plain function of one argument.
    """

    def add(function: Callable[[GlobalID], Any]) -> Callable[[GlobalID], Any]:
        plain(f"the locator of `{model}`", function, "(record)")
        if _locators.get(model, function) is not function:
            raise RegistrationError(f"records of `{model}` are located by {_locators[model]!r} already")
        _locators[model] = function
        return function

    return add


def _locate(record: GlobalID) -> Any:
    function = _locators.get(record.model)
    return record if function is None else function(record)


def active(handler: Handler, *, inline: bool = False) -> Handler:
    """What runs a wrapper's payload: a handler of its one argument, the job data, that calls `handler` inside.

    `inline`: there is no queue to try again from, so what a RetryOn would answer is raised.
    """
    rules = handler.active_job or _NO_RULES
    if inline:
        rules = rules._replace(rescue=tuple(one for one in rules.rescue if not isinstance(one, RetryOn)))
    chain: Chain[ServerMiddleware] = Chain(*rules.around_perform)

    def perform(data: Any) -> Any:
        job = _begin(data, rules)
        try:
            call = _bound(handler, job)
            return run_server(chain, job, lambda: _inner(job, call))
        except _NOT_ERRORS:
            raise
        except BaseException as error:
            if not _rescued(job, error):
                raise

    async def aperform(data: Any) -> Any:
        job = _begin(data, rules)
        try:
            call = _bound(handler, job)
            return await arun_server(chain, job, lambda: _ainner(job, call))
        except _NOT_ERRORS:
            raise
        except BaseException as error:
            if not _rescued(job, error):
                raise

    target = aperform if handler.is_async else perform
    return replace(handler, target=target, make=None, at_least=1, at_most=1)


def _begin(data: Any, rules: Rules) -> ActiveJob:
    if not isinstance(data, dict):
        raise DeserializationError(f"the ActiveJob's data is {data!r:.80}; expected the object that Rails writes")
    job = ActiveJob(data, rules)
    current_job().active_job = job
    return job


def _bound(handler: Handler, job: ActiveJob) -> Callable[[], Any]:
    """The call of the handler with the decoded arguments. Raises DeserializationError, SignatureMismatch."""
    job.arguments, job.keywords = split(decode(job.data.get("arguments"), _locate))
    try:
        handler.signature.bind(*job.arguments, **job.keywords)
    except TypeError as mismatch:
        raise SignatureMismatch(f"`{handler.name}` is {handler.title}; {mismatch}") from None
    return lambda: handler.bind()(*job.arguments, **job.keywords)


def _inner(job: ActiveJob, call: Callable[[], Any]) -> Any:
    for hook in job.rules.before_perform:
        hook(job)
    returned = call()
    for hook in reversed(job.rules.after_perform):
        hook(job)
    return returned


async def _ainner(job: ActiveJob, call: Callable[[], Awaitable[Any]]) -> Any:
    for hook in job.rules.before_perform:
        await _finished(hook(job))
    returned = await call()
    for hook in reversed(job.rules.after_perform):
        await _finished(hook(job))
    return returned


async def _finished(returned: Any) -> None:
    if inspect.isawaitable(returned):
        await returned


def _rescued(job: ActiveJob, error: BaseException) -> bool:
    """Ask the declarations, the last one first, about the error, then about what caused it.

    False leaves the error to Sidekiq. A RetryOn that has no attempt left raises the error that it was asked about.
    """
    seen: list[int] = []
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        for rescue in reversed(job.rules.rescue):
            if isinstance(cause, rescue.errors):
                if rescue.rescue(job, cause):
                    return True
                job.run_after_discard(cause)
                if cause is error:
                    return False
                try:
                    raise cause
                finally:
                    del cause, error  # its traceback holds this frame
        seen.append(id(cause))
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    job.run_after_discard(error)
    return False

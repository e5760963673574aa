"""How handlers and foreign classes are declared: `@pykiq.job`, `pykiq.remote`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, Unpack, overload

from pykiq.client.build import DEFAULTS
from pykiq.client.caller import users_level
from pykiq.client.naming import camel_case, refusal
from pykiq.errors import RegistrationError
from pykiq.jobs import ajrules
from pykiq.jobs.enqueue import LocalVerbs, Verbs
from pykiq.jobs.handler import Handler, for_function
from pykiq.jobs.hooks import RetriesExhausted, RetryIn
from pykiq.jobs.options import checked
from pykiq.jobs.optiontypes import JobOptions, RemoteOptions
from pykiq.jobs.registry import registry
from pykiq.jobs.signatures import short_name

if TYPE_CHECKING:
    from pykiq.client.envelope import Envelope

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
RetryInHook = TypeVar("RetryInHook", bound=Callable[..., object])


class JobFunction(LocalVerbs[P, R_co], Generic[P, R_co]):
    """A function that is also a class of jobs. Called, it is still the function."""

    __slots__ = ("__dict__", "__weakref__")

    def __init__(self, function: Callable[P, R_co], handler: Handler) -> None:
        super().__init__(handler.name, handler.options, handler, envelope=envelope_of(handler.active_job))
        self._function = function
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        return self._function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<job {self.job_name}: {self.handler.title}>"

    @property
    def handler(self) -> Handler:
        """What a worker runs."""
        return self._local()

    def retry_in(self, hook: RetryInHook) -> RetryInHook:
        """Decorator: `hook(count, error, job)` says how many seconds to wait before the next try (WIRE.md §7d).

        It may return seconds, a timedelta, `pykiq.KILL`, `pykiq.DISCARD`, or None for the usual delay; `count` is 0 at
        the first failure. The last argument may be left out. Raises RegistrationError.
        """
        return self._add("retry_in", hook)

    def retries_exhausted(self, hook: RetryInHook) -> RetryInHook:
        """Decorator: `hook(job, error)` is called when there are no retries left (WIRE.md §7e).

        It may return `pykiq.DISCARD` to keep the job out of the dead set. Raises RegistrationError.
        """
        return self._add("retries_exhausted", hook)

    def _add(self, kind: str, hook: RetryInHook) -> RetryInHook:
        self._handler = self.handler.with_hook(kind, hook)
        registry.replace(self._handler)
        return hook


@overload
def job(
    function: Callable[P, R],
    /,
    *,
    name: str | None = None,
    retry_in: RetryIn | Callable[[int, BaseException], object] | None = None,
    retries_exhausted: RetriesExhausted | Callable[[Mapping[str, Any]], object] | None = None,
    **options: Unpack[JobOptions],
) -> JobFunction[P, R]: ...
@overload
def job(
    name: str | None = None,
    /,
    *,
    retry_in: RetryIn | Callable[[int, BaseException], object] | None = None,
    retries_exhausted: RetriesExhausted | Callable[[Mapping[str, Any]], object] | None = None,
    **options: Unpack[JobOptions],
) -> Callable[[Callable[P, R]], JobFunction[P, R]]: ...
@overload
def job(
    *,
    name: str,
    retry_in: RetryIn | Callable[[int, BaseException], object] | None = None,
    retries_exhausted: RetriesExhausted | Callable[[Mapping[str, Any]], object] | None = None,
    **options: Unpack[JobOptions],
) -> Callable[[Callable[P, R]], JobFunction[P, R]]: ...
def job(
    given: Any = None,
    /,
    *,
    name: str | None = None,
    retry_in: Callable[..., object] | None = None,
    retries_exhausted: Callable[..., object] | None = None,
    **options: Any,
) -> Any:
    """Decorator: make a function the handler of a class of jobs.

        @pykiq.job("Billing::ChargeJob", queue="critical", retry=5)
        def charge(order_id: int) -> None: ...

    The first argument, or `name`, is the exact Ruby name; without one it is the function's in CamelCase. `def` runs on
    a thread, `async def` on the event loop. The options are those of Ruby's `sidekiq_options`, written into the payload
    of every push:

    queue        where pushes go; "default"
    retry        True (25 times), False (a failed job is dropped), or how many times
    retry_for    how long to retry: seconds or a timedelta
    retry_queue  the queue of its retries
    dead         False: not to the dead set in the end
    backtrace    True: keep the traceback on the retry entry; a number: that many lines of it
    tags         list of strings, shown on the dashboards
    timeout      how long one execution may take: seconds or a timedelta
    expires_in   a job that would start later than this is dropped without being run: seconds or a timedelta
    unique_for   kept for Ruby, with a warning: pykiq takes no lock yet
    extra        mapping of further keys for the payload, where Ruby middleware and gems find their own. At run time
                 any other keyword is kept, too; type checkers refuse it, because most are misspelt

    Code of the handler, which stays here: `retry_in(count, error, job)` says how many seconds to wait before the next
    try, `retries_exhausted(job, error)` is called when there are no retries left; see JobFunction.retry_in.

    `active_job=True` is for an ActiveJob of Rails: it takes keyword arguments, and pushes write Rails' envelope. With
    it go `priority` and what Rails declares: `rescue` (a list of RetryOn, DiscardOn, RescueFrom; the last one is asked
    first), `before_perform`, `around_perform`, `after_perform`, `after_discard`, `queue_as`.
    Raises RegistrationError for a name Ruby could not read, one that is taken, or an option that cannot be used.
    """
    if callable(given) or isinstance(given, classmethod):
        return _declare(given, name, options, retry_in, retries_exhausted)
    if given is not None and name is not None:
        raise RegistrationError(f"@job was given the name {given!r:.80} and name={name!r:.80}; expected one of them")
    known = given if name is None else name
    if known is not None:
        _check_name(known)  # here, where it was written
    return lambda function: _declare(function, known, options, retry_in, retries_exhausted)


@overload
def remote(name: str, /, *, like: Callable[P, object], **options: Unpack[RemoteOptions]) -> Verbs[P]: ...
@overload
def remote(name: str, /, **options: Unpack[RemoteOptions]) -> Verbs[...]: ...
def remote(name: str, /, *, like: Callable[..., object] | None = None, **options: Any) -> Verbs[...]:
    """A class of jobs that runs elsewhere, in Ruby most likely: the same verbs, and no code here.

        HardJob = pykiq.remote("HardJob", queue="ruby", retry=5)
        HardJob.perform_async(1, "two")

    The options are those of `pykiq.job`; `extra={"lock": "until_executed"}` is for Ruby's middleware and gems.

    `active_job=True` is for an ActiveJob: pushes write what its `perform_later` does, keywords and all the types of
    `pykiq.activejob` included. It may have a `priority`, and `queue_as`, a function of the arguments.

    `like` is for type checkers only: a function, never called, whose parameters are those of the Ruby `perform`.
    `pykiq stubs python` writes it.
    Raises RegistrationError for a name Ruby could not read or an option that cannot be used.
    """
    _check_name(name)
    rules, rest = ajrules.taken(options, name)
    for rule in (rules or ajrules.Rules())._replace(queue_as=None):
        if rule:
            raise RegistrationError(f"remote({name!r}) was given {rule!r:.80}, which is for where the job runs")
    declared = declared_options(rest, name, rules, runs_here=False)
    return Verbs(name, declared, None, envelope=envelope_of(rules))


def declared_options(
    options: Mapping[str, Any],
    whose: str,
    rules: ajrules.Rules | None,
    inherited: Mapping[str, Any] = DEFAULTS,
    *,
    runs_here: bool = True,
) -> dict[str, Any]:
    """The options of a class of jobs, checked, on top of those it inherits. Raises RegistrationError."""
    if rules is not None:
        ajrules.check_priority(options, whose)
    elif "priority" in options:
        warnings.warn(
            f"{whose}: the option `priority` is kept on the payload and means nothing without active_job=True;"
            " what is more urgent goes to a queue of more weight",
            stacklevel=users_level(),
        )
    return {**inherited, **checked(options, whose, runs_here=runs_here)}


def envelope_of(rules: ajrules.Rules | None) -> Envelope | None:
    """How pushes of a class with these rules are wrapped; None for a plain class."""
    if rules is None:
        return None
    # Imported here: Rails' types of arguments are a megabyte that programs without ActiveJobs need not have. What runs
    # such jobs is loaded with it, not with the first of them: an upgrade may have changed the files by then.
    from pykiq.client.envelope import Envelope
    from pykiq.jobs import activejob  # noqa: F401

    return Envelope(rules.queue_as)


def job_name(given: str | None, code_name: str) -> str:
    """The class name of a handler: the one given, or its code's in CamelCase. Raises RegistrationError."""
    name = camel_case(code_name) if given is None else given
    if given is None and (refusal(name) or not (code_name.isascii() and code_name.isidentifier())):
        raise RegistrationError(
            f"{code_name!r} makes no name that Ruby could read; give one, such as 'Billing::ChargeJob'"
        )
    _check_name(name)
    return name


def _check_name(name: object) -> None:
    refused = refusal(name)
    if refused:
        raise RegistrationError(refused)


def _declare(
    given: Any,
    name: str | None,
    options: Mapping[str, Any],
    retry_in: Callable[..., object] | None,
    retries_exhausted: Callable[..., object] | None,
) -> JobFunction[Any, Any]:
    function = _function_in(given)
    known = job_name(name, short_name(function))
    rules, rest = ajrules.taken(options, known)
    handler = for_function(
        function,
        known,
        declared_options(rest, known, rules),
        retry_in=retry_in,
        retries_exhausted=retries_exhausted,
        active_job=rules,
    )
    return JobFunction(function, registry.register(handler))


def _function_in(given: Any) -> Callable[..., Any]:
    """The function to run: `given` itself, the one in a staticmethod, or that of a job which gets a second name.

    The last two would hide whether they are `async def`. Raises RegistrationError for what cannot be a job.
    """
    if isinstance(given, JobFunction):
        return given.handler.target  # type: ignore[no-any-return]
    if isinstance(given, staticmethod):
        return given.__func__
    if isinstance(given, type):
        from pykiq.jobs.jobclass import Job  # which needs this module

        raise RegistrationError(
            f"@job was given the class {given.__qualname__}, which derives from pykiq.Job and so is a job already;"
            f" take @job away: class {given.__name__}(pykiq.Job, name=…, queue=…)"
            if issubclass(given, Job)
            else f"@job was given the class {given.__qualname__}; expected a function, or for a class derive it from"
            f" pykiq.Job: class {given.__name__}(pykiq.Job)"
        )
    if isinstance(given, classmethod):
        raise RegistrationError(
            f"@job was given the classmethod {given.__func__.__qualname__}, and a job has no class to be called on;"
            " make it a function or a staticmethod, or derive the class from pykiq.Job and call it perform"
        )
    if not callable(given):
        raise RegistrationError(f"@job was given {given!r:.80}; expected a function")
    return given  # type: ignore[no-any-return]

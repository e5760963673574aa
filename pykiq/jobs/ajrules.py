"""What Rails declares about an ActiveJob class, as options of a handler: retry_on, discard_on, callbacks…"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pykiq.client.times import number
from pykiq.errors import PayloadError, RegistrationError
from pykiq.jobs.signatures import code_of, short_name
from pykiq.wire.failure import class_name_of

if TYPE_CHECKING:
    from pykiq.jobs.activejob import ActiveJob

Hook = Callable[["ActiveJob", BaseException], object]
Wait = int | float | timedelta | Callable[[int], Any] | str
Errors = tuple[type[BaseException], ...]

GROWING = ("polynomially_longer", "exponentially_longer")
"""One algorithm, by its name since Rails 7.1 and by the one before."""

JITTER = 0.15  # of the wait; what new Rails applications have had since 6.1


class RetryOn:
    """Rails' `retry_on`: enqueue the job again when it raises one of `errors`.

        RetryOn(TimeoutError, ConnectionError, wait=5, attempts=3)

    `wait` is seconds, a timedelta, a function of the number of executions, or `"polynomially_longer"` (about 3 s, 18 s,
    83 s…). Up to `jitter` of it is added at random, not to what a function returned. `attempts` is how often the job
    runs in all, or `"unlimited"`. `queue` and `priority` change those of the job. After the last attempt
    `exhausted(job, error)` is called and the job is over; without one the error goes to Sidekiq's own retries.

    The attempts are counted in the job, under the names of the errors. For attempts that Ruby and Python count
    together, `counted_as` gives the names in Ruby's declaration: `counted_as=["Timeout::Error"]`.
    """

    __slots__ = ("attempts", "errors", "exhausted", "jitter", "key", "priority", "queue", "wait")

    def __init__(
        self,
        *errors: type[BaseException],
        wait: Wait = 3,
        attempts: int | Literal["unlimited"] = 5,
        jitter: float = JITTER,
        queue: str | None = None,
        priority: int | None = None,
        exhausted: Hook | None = None,
        counted_as: Sequence[str] | None = None,
    ) -> None:
        self.errors = _errors("RetryOn", errors)
        self.wait = wait if callable(wait) else _wait(wait)
        if attempts != "unlimited" and (isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1):
            raise RegistrationError(f"RetryOn has attempts={attempts!r}; expected a positive number or 'unlimited'")
        self.attempts = None if attempts == "unlimited" else attempts
        self.jitter = _seconds("jitter", jitter)
        self.queue = queue
        self.priority = priority
        self.exhausted = None if exhausted is None else plain("RetryOn's exhausted", exhausted)
        if isinstance(counted_as, str):
            raise RegistrationError(f"RetryOn has counted_as={counted_as!r}; expected a list of names")
        self.key = f"[{', '.join(counted_as or map(class_name_of, errors))}]"

    def delay(self, executions: int, chance: Callable[[], float] = random.random) -> float:
        """Seconds to wait after that many executions."""
        if callable(self.wait):
            return float(number(self.wait(executions), "wait"))
        if isinstance(self.wait, str):
            wait: float = executions**4
            return wait + chance() * wait * self.jitter + 2
        return self.wait + chance() * self.wait * self.jitter

    def rescue(self, job: ActiveJob, error: BaseException) -> bool:
        """Whether that was the end of `error`."""
        executions = job.count_for(self.key)
        if self.attempts is None or executions < self.attempts:
            job.retry(wait=self.delay(executions), queue=self.queue, priority=self.priority, error=error)
            return True
        if self.exhausted is not None:
            self.exhausted(job, error)
            job.discard(error)
        return self.exhausted is not None


class DiscardOn:
    """Rails' `discard_on`: the job is over when it raises one of `errors`; `hook(job, error)` is told of it."""

    __slots__ = ("errors", "hook")

    def __init__(self, *errors: type[BaseException], hook: Hook | None = None) -> None:
        self.errors = _errors("DiscardOn", errors)
        self.hook = None if hook is None else plain("DiscardOn's hook", hook)

    def rescue(self, job: ActiveJob, error: BaseException) -> bool:
        """Whether that was the end of `error`."""
        if self.hook is not None:
            self.hook(job, error)
        job.discard(error)
        return True


class RescueFrom:
    """Rails' `rescue_from`: `handler(job, error)` deals with `errors`, and the job is done unless it raises.

    It may call `job.retry(wait=…)`, which is Rails' `retry_job`.
    """

    __slots__ = ("errors", "handler")

    def __init__(self, *errors: type[BaseException], handler: Hook) -> None:
        self.errors = _errors("RescueFrom", errors)
        self.handler = plain("RescueFrom's handler", handler)

    def rescue(self, job: ActiveJob, error: BaseException) -> bool:
        """Whether that was the end of `error`."""
        self.handler(job, error)
        return True


Rescue = RetryOn | DiscardOn | RescueFrom


class Rules(NamedTuple):
    """All that is declared about one ActiveJob class."""

    rescue: tuple[Rescue, ...] = ()
    before_perform: tuple[Callable[..., Any], ...] = ()
    around_perform: tuple[Callable[..., Any], ...] = ()
    after_perform: tuple[Callable[..., Any], ...] = ()
    after_discard: tuple[Callable[..., Any], ...] = ()
    queue_as: Callable[..., object] | None = None


def taken(
    options: Mapping[str, Any], whose: str, inherited: Rules | None = None
) -> tuple[Rules | None, dict[str, Any]]:
    """The rules among `options` (None for a plain job), and the other options. Raises RegistrationError.

    A subclass adds to what it inherits, as in Rails, where `ApplicationJob` declares for all; `queue_as` replaces it.
    """
    given = {name: value for name, value in options.items() if name in Rules._fields}
    rest = {name: value for name, value in options.items() if name not in given and name != "active_job"}
    wanted = options.get("active_job", inherited is not None)
    if not isinstance(wanted, bool):
        raise RegistrationError(f"{whose}: active_job is {wanted!r:.80}; expected True or False")
    if not wanted:
        if given:
            raise RegistrationError(f"{whose}: `{next(iter(given))}` is for ActiveJobs; add active_job=True")
        return None, rest
    checks: dict[str, Callable[[str, Any], Any]] = dict.fromkeys(Rules._fields, _hooks)
    checks |= {"rescue": _rescues, "queue_as": _queue_as, "after_discard": _plain_hooks}
    checked = {name: checks[name](f"{whose}: {name}", value) for name, value in given.items()}
    rules = Rules() if inherited is None else inherited
    for name, value in checked.items():
        if name != "queue_as":
            checked[name] = (*getattr(rules, name), *value)
    return rules._replace(**checked), rest


def check_hooks(rules: Rules, called: str, *, is_async: bool) -> None:
    """Raise RegistrationError for an async hook around a plain handler, which nobody could await."""
    for hook in () if is_async else (*rules.before_perform, *rules.after_perform):
        if inspect.iscoroutinefunction(code_of(hook)):
            raise RegistrationError(f"{called} has the async hook {short_name(hook)}; make the handler async, too")


def check_priority(options: Mapping[str, Any], whose: str) -> None:
    """Raise RegistrationError when the `priority` of an ActiveJob is no number."""
    priority = options.get("priority")
    if priority is not None and (isinstance(priority, bool) or not isinstance(priority, int)):
        raise RegistrationError(f"{whose}: priority is {priority!r:.80}; expected an integer, lower is sooner")


def _rescues(what: str, given: Any) -> tuple[Rescue, ...]:
    listed = tuple(given) if isinstance(given, (list, tuple)) else (given,)
    for one in listed:
        if not isinstance(one, (RetryOn, DiscardOn, RescueFrom)):
            raise RegistrationError(f"{what} has {one!r:.80}; expected RetryOn, DiscardOn and RescueFrom")
    return listed


def _hooks(what: str, given: Any, takes: str = "(job)") -> tuple[Callable[..., Any], ...]:
    listed = tuple(given) if isinstance(given, (list, tuple)) else (given,)
    for hook in listed:
        if not callable(hook):
            raise RegistrationError(f"{what} is {hook!r:.80}; expected a function {takes}, or a list of them")
        yields = inspect.isgeneratorfunction(code_of(hook)) or inspect.isasyncgenfunction(code_of(hook))
        if yields is not what.endswith("around_perform"):
            kind = "generator function (job) with one `yield`" if not yields else "function without `yield`"
            raise RegistrationError(f"{what} is {short_name(hook)}; expected a {kind}")
        _check_takes(what, hook, takes)
    return listed


def _plain_hooks(what: str, given: Any) -> tuple[Callable[..., Any], ...]:
    return tuple(plain(what, hook) for hook in _hooks(what, given, "(job, error)"))


def _queue_as(what: str, given: Any) -> Any:
    if not callable(given):
        raise RegistrationError(f"{what} is {given!r:.80}; expected a function of the arguments; or use `queue`")
    if inspect.iscoroutinefunction(code_of(given)):
        raise RegistrationError(f"{what} is {given!r:.80}; expected a plain function of the arguments")
    return given


def plain(what: str, hook: Callable[..., Any], takes: str = "(job, error)") -> Callable[..., Any]:
    """`hook`, if it is a plain function that `takes` these. Raises RegistrationError."""
    if not callable(hook) or inspect.iscoroutinefunction(code_of(hook)):
        raise RegistrationError(f"{what} is {hook!r:.80}; expected a plain function {takes}")
    _check_takes(what, hook, takes)
    return hook


def _check_takes(what: str, hook: Callable[..., Any], takes: str) -> None:
    try:
        inspect.signature(hook).bind(*takes.split(","))
    except TypeError as mismatch:
        raise RegistrationError(f"{what} is {short_name(hook)}, which does not take {takes}: {mismatch}") from None
    except ValueError:
        return  # written in C and saying nothing about itself


def _errors(what: str, errors: tuple[Any, ...]) -> Errors:
    if not errors:
        raise RegistrationError(f"{what} was given no error; expected exception classes first")
    for one in errors:
        if not isinstance(one, type) or not issubclass(one, BaseException):
            raise RegistrationError(f"{what} was given {one!r:.80}; expected exception classes")
    return errors


def _wait(given: int | float | timedelta | str) -> float | str:
    if isinstance(given, str):
        if given not in GROWING:
            raise RegistrationError(f"RetryOn has wait={given!r}; expected seconds, a function or {GROWING[0]!r}")
        return given
    return _seconds("wait", given)


def _seconds(name: str, given: object) -> float:
    try:
        return float(number(given, name))
    except PayloadError as error:
        raise RegistrationError(f"RetryOn: {error}") from None

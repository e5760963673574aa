"""What is declared about an ActiveJob: checked where it is written."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from datetime import timedelta
from typing import Any

import pytest

import pykiq
from pykiq.activejob import DiscardOn, RescueFrom, RetryOn
from pykiq.errors import RegistrationError
from pykiq.jobs.registry import registry


class ShopError(Exception):
    pass


def around(job: Any) -> Generator[None, None, None]:
    yield


async def aaround(job: Any) -> AsyncGenerator[None, None]:
    yield


async def coroutine(*_: Any) -> None: ...


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"active_job": 1}, "active_job is 1; expected True or False"),
    ({"rescue": []}, "`rescue` is for ActiveJobs; add active_job=True"),
    ({"active_job": False, "queue_as": len}, "`queue_as` is for ActiveJobs"),
    ({"active_job": True, "rescue": [ValueError]}, "rescue has .*ValueError.*; expected RetryOn, DiscardOn"),
    ({"active_job": True, "before_perform": 5}, r"before_perform is 5; expected a function \(job\)"),
    ({"active_job": True, "before_perform": around}, "before_perform is around; expected a function without `yield`"),
    ({"active_job": True, "around_perform": len}, "around_perform is len; expected a generator function"),
    ({"active_job": True, "after_perform": lambda: 1}, r"which does not take \(job\): too many positional arguments"),
    ({"active_job": True, "queue_as": "low"}, "queue_as is 'low'; expected a function of the arguments"),
    ({"active_job": True, "queue_as": coroutine}, "queue_as is .*coroutine.*; expected a plain function"),
    ({"active_job": True, "priority": "high"}, "priority is 'high'; expected an integer"),
    ({"active_job": True, "before_perform": coroutine}, "has the async hook coroutine; make the handler async"),
    ({"active_job": True, "after_discard": coroutine}, "after_discard is .*coroutine.*; expected a plain function"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_could_not_work_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RegistrationError, match=f"InvoiceJob.*{message}"):
        pykiq.job("InvoiceJob", **options)(lambda: None)
    assert registry.names() == []


WRONG: list[tuple[Any, str]] = [
    (lambda: RetryOn(), "RetryOn was given no error"),
    (lambda: RetryOn("TimeoutError"), "RetryOn was given 'TimeoutError'; expected exception classes"),  # type: ignore[arg-type]
    (lambda: RetryOn(ValueError, attempts=0), "attempts=0; expected a positive number or 'unlimited'"),
    (lambda: RetryOn(ValueError, wait="longer"), "wait='longer'; expected seconds, a function or 'poly"),
    (lambda: RetryOn(ValueError, wait=float("nan")), "`wait` is nan"),
    (lambda: RetryOn(ValueError, exhausted=coroutine), "exhausted is .*coroutine.*; expected a plain function"),
    (lambda: RetryOn(ValueError, counted_as="ArgumentError"), "counted_as='ArgumentError'; expected a list of names"),
    (lambda: RetryOn(ValueError, jitter="much"), "`jitter` is 'much'"),  # type: ignore[arg-type]
    (lambda: RetryOn(ValueError, exhausted=lambda job: None), r"does not take \(job, error\): too many"),  # type: ignore[misc, arg-type]
    (lambda: DiscardOn(hook=len), "DiscardOn was given no error"),
    (lambda: RescueFrom(ValueError, handler=5), "RescueFrom's handler is 5"),  # type: ignore[arg-type]
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), WRONG, ids=range(len(WRONG)))
def test_a_rescue_that_could_not_work_is_refused(make: Any, message: str) -> None:
    with pytest.raises(RegistrationError, match=message):
        make()


def test_waits_are_those_of_rails() -> None:
    most = lambda: 1.0  # noqa: E731
    assert RetryOn(ValueError).delay(1, most) == pytest.approx(3.45)
    assert RetryOn(ValueError, wait=timedelta(minutes=1), jitter=0).delay(1) == 60
    assert RetryOn(ValueError, wait=lambda executions: executions * 2).delay(7, most) == 14
    for name in ("polynomially_longer", "exponentially_longer"):
        growing = RetryOn(ValueError, wait=name, jitter=0.5)
        assert [growing.delay(executions, most) for executions in (1, 2, 3)] == [3.5, 26.0, 123.5]
        assert growing.delay(2, lambda: 0.0) == 18


def test_attempts_are_counted_under_the_names_of_the_errors_or_of_rubys() -> None:
    assert RetryOn(TimeoutError, ShopError).key == f"[TimeoutError, {__name__}.ShopError]"
    assert RetryOn(TimeoutError, counted_as=["Timeout::Error", "IOError"]).key == "[Timeout::Error, IOError]"


def test_an_active_job_may_require_keywords() -> None:
    @pykiq.job("InvoiceJob", active_job=True)
    def invoice(number: int, *, customer: str) -> None: ...

    with pytest.raises(RegistrationError, match="requires the keyword `customer`"):
        pykiq.job("PlainJob")(lambda number, *, customer: None)


def test_a_remote_class_takes_what_a_push_needs_and_nothing_else() -> None:
    routed = pykiq.remote("InvoiceJob", active_job=True, queue_as=lambda: "x", priority=5, tags=["a"])
    assert dict(routed.job_options) == {"retry": True, "queue": "default", "priority": 5, "tags": ["a"]}
    with pytest.raises(RegistrationError, match="which is for where the job runs"):
        pykiq.remote("InvoiceJob", active_job=True, rescue=[DiscardOn(ValueError)])


def test_a_subclass_adds_to_the_declarations_it_inherits_and_replaces_queue_as() -> None:
    first, second = (lambda: "first"), (lambda: "second")

    class Base(pykiq.Job, active_job=True, priority=5, rescue=DiscardOn(ValueError), around_perform=around):
        def perform(self, *, number: int) -> None: ...

    class Other(Base, rescue=[RetryOn(KeyError)], around_perform=[aaround], queue_as=first): ...

    class Last(Other, rescue=[], queue_as=second): ...

    class Plain(Base, active_job=False):
        def perform(self) -> None: ...  # type: ignore[override]

    found = {name: registry.get(name).active_job for name in registry.names()}  # type: ignore[union-attr]
    base, other, last = found["Base"], found["Other"], found["Last"]
    assert base is not None
    assert other is not None
    assert last is not None
    assert [type(rescue) for rescue in base.rescue] == [DiscardOn]
    assert [type(rescue) for rescue in other.rescue] == [DiscardOn, RetryOn]
    assert (other.around_perform, other.queue_as) == ((around, aaround), first)
    assert (last.rescue, last.queue_as) == (other.rescue, second)
    assert found["Plain"] is None
    assert (Plain.job_envelope, Other.job_options["priority"]) == (None, 5)

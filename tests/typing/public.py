"""Read by mypy and pyright, never run: what they know of jobs. Every `type: ignore` is an error that must stay one."""
# pyright: strict, reportUnnecessaryTypeIgnoreComment=true, reportUnusedFunction=false

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

import pykiq
from pykiq.testing import Jobs, fake


@pykiq.job("Billing::ChargeJob", queue="critical", retry=5)
def charge(order_id: int, note: str = "") -> float:
    return order_id * 1.5


@pykiq.job
async def fetch(url: str) -> bytes:
    return url.encode()


def a_function_stays_a_function() -> None:
    assert_type(charge(42), float)
    charge("42")  # type: ignore[arg-type]
    charge()  # type: ignore[call-arg]


async def an_async_function_stays_one() -> None:
    assert_type(await fetch("u"), bytes)
    await fetch(1)  # type: ignore[arg-type]


def the_verbs_take_the_handlers_arguments() -> None:
    assert_type(charge.perform_async(42, "x"), str | None)
    charge.perform_async(order_id=42)
    charge.perform_async("42")  # type: ignore[arg-type]
    charge.perform_async(42, 43)  # type: ignore[arg-type]
    charge.perform_async()  # type: ignore[call-arg]
    charge.perform_async(order=42)  # type: ignore[call-arg]
    charge.perform_inline(42)
    charge.perform_inline("42")  # type: ignore[arg-type]


def an_interval_or_a_moment_comes_first() -> None:
    charge.perform_in(60, 42)
    charge.perform_in(timedelta(hours=1), 42, note="x")
    charge.perform_in(60, "42")  # type: ignore[arg-type]
    charge.perform_in("60", 42)  # type: ignore[arg-type]
    charge.perform_at(2e9, 42)
    charge.perform_at(None, 42)  # type: ignore[arg-type]


def set_keeps_the_arguments() -> None:
    assert_type(charge.set(queue="low").perform_async(42), str | None)
    charge.set(queue="low").perform_async("42")  # type: ignore[arg-type]


async def and_so_do_the_awaitable_verbs() -> None:
    assert_type(await charge.aperform_async(42), str | None)
    await charge.aperform_async("42")  # type: ignore[arg-type]
    await charge.aperform_in(60, "42")  # type: ignore[arg-type]
    assert_type(await charge.aperform_bulk([[1], [2]]), list[str | None])


class Order(pykiq.Job, queue="orders", retry=3, name="Billing::Order"):
    def perform(self, order_id: int) -> None:
        assert_type(self.jid, str)

    def retry_in(self, count: int, error: BaseException, job: Mapping[str, Any]) -> object:
        return pykiq.KILL


class AsyncOrder(pykiq.Job):
    async def perform(self, order_id: int) -> None: ...


def classes_have_the_verbs_too() -> None:
    assert_type(Order.perform_async(42), str | None)
    assert_type(Order.perform_bulk([[1], [2]]), list[str | None])
    Order.perform_async(order_id=42)
    Order.perform_async("42")  # type: ignore[arg-type]
    Order.perform_async()  # type: ignore[call-arg]
    AsyncOrder.perform_in(5, 42)
    AsyncOrder.perform_in(5, "42")  # type: ignore[arg-type]
    AsyncOrder.perform_at(datetime.now(UTC), 42)
    assert_type(Order.set(queue="low").perform_async(42), str | None)
    Order.set(queue="low").perform_async("42")  # type: ignore[arg-type]
    Order.perform_inline(42)
    Order.perform_inline()  # type: ignore[call-arg]
    Order.perform_later(42)  # type: ignore[attr-defined]


async def and_the_awaitable_ones() -> None:
    assert_type(await Order.aperform_async(42), str | None)
    await Order.aperform_async("42")  # type: ignore[arg-type]
    await AsyncOrder.aperform_in(5, "42")  # type: ignore[arg-type]
    await AsyncOrder.aperform_inline("42")  # type: ignore[arg-type]


class Abstract(pykiq.Job): ...


def a_class_without_perform_takes_anything(job: type[pykiq.Job]) -> None:
    assert_type(Abstract.perform_async(1, "two"), str | None)
    assert_type(job.perform_async(1, "two"), str | None)


def a_remote_class_takes_anything() -> None:
    hard = pykiq.remote("HardJob", queue="ruby")
    assert_type(hard.perform_async(1, "two"), str | None)
    hard(1)  # type: ignore[operator]


@charge.retry_in
def delay(count: int, error: BaseException) -> int:
    return 10 * count


@pykiq.server_middleware.add
def timed(job: pykiq.JobContext) -> Generator[None]:
    assert_type(job.attempt, int)
    yield


@pykiq.client_middleware.add
def tagged(job: dict[str, Any], call_next: Callable[[dict[str, Any]], dict[str, Any] | None]) -> dict[str, Any] | None:
    return call_next(job)


@pykiq.on("startup")
def ready() -> None: ...


def what_a_test_sees(pykiq_jobs: Jobs) -> None:
    assert_type(pykiq_jobs.drain(), dict[str, int])
    [job] = pykiq_jobs.of_class(charge).assert_enqueued(Order, args=[42], at=timedelta(hours=1), tags=["a"])
    assert_type(job.args, list[Any])
    with fake() as jobs:
        assert_type(jobs, Jobs)


def decorators_return_what_they_were_given() -> None:
    assert_type(delay(1, ValueError()), int)
    assert_type(ready(), None)
    timed()  # type: ignore[call-arg]


def what_is_loaded_late_is_typed_as_if_it_were_there() -> None:
    assert_type(pykiq.activejob.Symbol("paid"), pykiq.activejob.Symbol)
    assert pykiq.activejop  # type: ignore[attr-defined]

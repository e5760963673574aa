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
    charge.perform_inline("42")  # type: ignore[arg-type]


def an_inline_job_returns_what_its_handler_does() -> None:
    assert_type(charge.perform_inline(42), float)
    assert_type(fetch.perform_inline("u"), bytes)
    assert_type(charge.set(queue="low").perform_inline(42), float)
    assert_type(Order.perform_inline(42), None)
    assert_type(Total.perform_inline(42), int)
    assert_type(AsyncTotal.perform_inline(42), int)
    assert_type(Total.set(queue="low").set(retry=3).perform_inline(42), int)
    assert_type(pykiq.remote("HardJob").perform_inline(1), Any)


async def and_so_does_one_that_is_awaited() -> None:
    assert_type(await charge.aperform_inline(42), float)
    assert_type(await fetch.aperform_inline("u"), bytes)
    assert_type(await fetch.set(queue="low").aperform_inline("u"), bytes)
    assert_type(await Total.aperform_inline(42), int)
    assert_type(await AsyncTotal.aperform_inline(42), int)


class Total(pykiq.Job):
    def perform(self, order_id: int) -> int:
        return order_id


class AsyncTotal(pykiq.Job):
    async def perform(self, order_id: int) -> int:
        return order_id


@pykiq.job(
    "Every::Option",
    queue="low",
    retry=False,
    retry_for=timedelta(days=1),
    retry_queue="lower",
    dead=False,
    backtrace=20,
    tags=("a", "b"),
    timeout=60,
    expires_in=timedelta(hours=1),
    retry_in=lambda count, error: 60,
    retries_exhausted=lambda job: pykiq.DISCARD,
    extra={"lock": "until_executed", "custom": [1]},
)
def every_option() -> None: ...


@pykiq.job(name="Named::ByKeyword", queue="low")
def named(order_id: int) -> str:
    return str(order_id)


def a_name_by_keyword_and_a_function_with_options_keep_the_types() -> None:
    assert_type(named(1), str)
    assert_type(pykiq.job(named, name="Another", queue="low").perform_inline(1), str)


def an_option_of_a_wrong_type_is_an_error() -> None:
    pykiq.job(retry="x")  # type: ignore[call-overload]
    pykiq.job("A", retry="x")  # type: ignore[call-overload]
    pykiq.job(name="A", retry="x")  # type: ignore[call-overload]
    pykiq.job("A", tags="x")  # type: ignore[call-overload]
    pykiq.job("A", queue=None)  # type: ignore[call-overload]
    pykiq.job("A", timeout="1h")  # type: ignore[call-overload]
    pykiq.job("A", extra=5)  # type: ignore[call-overload]
    pykiq.remote("A", retry="x")  # type: ignore[call-overload]
    charge.set(retry="x")  # type: ignore[arg-type]
    Order.set(retry="x")  # type: ignore[arg-type]
    charge.set(wait=[5])  # type: ignore[arg-type]
    pykiq.remote("A").set(queue=5)  # type: ignore[arg-type]


def so_is_one_that_nobody_knows() -> None:
    pykiq.job(retires=3)  # type: ignore[call-overload]
    pykiq.job("A", Queue="low")  # type: ignore[call-overload]
    pykiq.remote("A", lock="until_executed")  # type: ignore[call-overload]
    pykiq.remote("A", extra={"lock": "until_executed"})
    charge.set(qeue="low")  # type: ignore[call-arg]
    Order.set(qeue="low")  # type: ignore[call-arg]
    charge.set(extra={"qeue": "low"}, wait=5).perform_async(42)
    charge.set(wait="5m").perform_async(42)


def and_on_the_line_of_a_class() -> object:
    class Wrong(pykiq.Job, retry="x"):  # type: ignore[arg-type]
        def perform(self) -> None: ...

    class Misspelt(pykiq.Job, retires=3):  # type: ignore[call-arg]
        def perform(self) -> None: ...

    class Extra(pykiq.Job, extra={"lock": "until_executed"}, active_job=True, priority=3):
        def perform(self) -> None: ...

    return Wrong, Misspelt, Extra


async def a_client_takes_a_url(config: pykiq.Config) -> None:
    pykiq.Client(redis="redis://localhost:6379/0").enqueue(charge, 42)
    await pykiq.AsyncClient(config, redis="redis://localhost:6379/0").enqueue(charge, 42)
    pykiq.Client(redis=6379)  # type: ignore[arg-type]


def an_interval_or_a_moment_comes_first() -> None:
    charge.perform_in(60, 42)
    charge.perform_in(timedelta(hours=1), 42, note="x")
    charge.perform_in(60, "42")  # type: ignore[arg-type]
    charge.perform_in("60m", 42)
    charge.perform_in(b"60m", 42)  # type: ignore[arg-type]
    charge.perform_at(2e9, 42)
    charge.perform_at(None, 42)  # type: ignore[arg-type]
    charge.perform_at(2e9, "42")  # type: ignore[arg-type]


def a_bulk_is_a_list_of_lists() -> None:
    assert_type(charge.perform_bulk([[1], [2, "x"]]), list[str | None])
    charge.perform_bulk((n,) for n in range(3))
    charge.perform_bulk([1, 2])  # type: ignore[list-item]
    Order.perform_bulk([1, 2])  # type: ignore[list-item]


def set_keeps_the_arguments() -> None:
    assert_type(charge.set(queue="low").perform_async(42), str | None)
    charge.set(queue="low").perform_async("42")  # type: ignore[arg-type]
    charge.set(queue="low").perform_at(2e9, "42")  # type: ignore[arg-type]
    charge.set(queue="low").set(tags=["a"]).perform_in(60, "42")  # type: ignore[arg-type]


async def and_so_do_the_awaitable_verbs() -> None:
    assert_type(await charge.aperform_async(42), str | None)
    await charge.aperform_async("42")  # type: ignore[arg-type]
    await charge.aperform_in(60, "42")  # type: ignore[arg-type]
    await charge.aperform_at(2e9, "42")  # type: ignore[arg-type]
    await charge.aperform_inline("42")  # type: ignore[arg-type]
    await charge.aperform_bulk([1, 2])  # type: ignore[list-item]
    await charge.set(queue="low").aperform_async("42")  # type: ignore[arg-type]
    fetch.perform_async(1)  # type: ignore[arg-type]
    await fetch.aperform_in(60, 1)  # type: ignore[arg-type]
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
    AsyncOrder.perform_at(2e9, "42")  # type: ignore[arg-type]
    AsyncOrder.perform_at(datetime.now(UTC), 42)
    assert_type(Order.set(queue="low").perform_async(42), str | None)
    Order.set(queue="low").perform_async("42")  # type: ignore[arg-type]
    Order.perform_inline()  # type: ignore[call-arg]
    Order.perform_later(42)  # type: ignore[attr-defined]


async def and_the_awaitable_ones() -> None:
    assert_type(await Order.aperform_async(42), str | None)
    await Order.aperform_async("42")  # type: ignore[arg-type]
    await AsyncOrder.aperform_in(5, "42")  # type: ignore[arg-type]
    await AsyncOrder.aperform_at(2e9, "42")  # type: ignore[arg-type]
    await Order.set(queue="low").aperform_async("42")  # type: ignore[arg-type]
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

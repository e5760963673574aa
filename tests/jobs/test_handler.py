"""What a handler is, decided when it is declared; and what it says when the arguments do not fit."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from pykiq.errors import RegistrationError, SignatureMismatch
from pykiq.jobs.handler import Handler, for_class, for_function

DEFAULTS = {"retry": True, "queue": "default"}


def of(function: Any, **hooks: Any) -> Handler:
    return for_function(function, "Billing::ChargeJob", DEFAULTS, **hooks)


def none() -> None: ...
def one(order_id: int) -> None: ...
def one_or_two(order_id: int, note: str = "") -> None: ...
def any_number(*args: int) -> None: ...
def two_or_more(a: int, b: int, *rest: int) -> None: ...
def positional_only(a: int, /) -> None: ...
def with_optional_keyword(a: int, *, dry: bool = False, **others: Any) -> None: ...
async def async_one(a: int) -> None: ...


class Callable1:
    def __call__(self, a: int) -> None: ...


class AsyncCallable:
    async def __call__(self, a: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "fits", "does_not"),
    [
        (none, [0], [1]),
        (one, [1], [0, 2]),
        (one_or_two, [1, 2], [0, 3]),
        (any_number, [0, 1, 500], []),
        (two_or_more, [2, 3, 99], [0, 1]),
        (positional_only, [1], [0, 2]),
        (with_optional_keyword, [1], [0, 2]),
        (async_one, [1], [0, 2]),
        (Callable1(), [1], [0, 2]),
        (functools.partial(one_or_two, 7), [0, 1], [2]),
        (functools.partial(one_or_two, note="x"), [1], [0]),
        (print, [0, 1, 9], []),
    ],
)
def test_the_number_of_arguments_is_checked(function: Any, fits: list[int], does_not: list[int]) -> None:
    handler = of(function)
    for count in fits:
        handler.check([None] * count)
    for count in does_not:
        with pytest.raises(SignatureMismatch):
            handler.check([None] * count)


@pytest.mark.parametrize(
    ("function", "count", "message"),
    [
        (one, 3, "one(order_id: int); it was given 3 arguments, takes 1"),
        (one, 0, "one(order_id: int); it was given 0 arguments, takes 1"),
        (none, 1, "none(); it was given 1 argument, takes none"),
        (two_or_more, 1, "two_or_more(a: int, b: int, *rest: int); it was given 1 argument, takes at least 2"),
        (one_or_two, 3, "one_or_two(order_id: int, note: str = ''); it was given 3 arguments, takes 1 to 2"),
    ],
)
def test_a_mismatch_names_the_handler_its_signature_and_the_count(function: Any, count: int, message: str) -> None:
    with pytest.raises(SignatureMismatch) as caught:
        of(function).check([0] * count)
    assert str(caught.value) == f"`Billing::ChargeJob` is {message}"


def test_a_required_keyword_is_refused_because_no_job_can_pass_it() -> None:
    def needs_keyword(a: int, *, dry: bool) -> None: ...

    with pytest.raises(RegistrationError, match="requires the keyword `dry`"):
        of(needs_keyword)


@pytest.mark.parametrize(
    ("function", "is_async"),
    [
        (one, False),
        (async_one, True),
        (functools.partial(async_one, 1), True),
        (functools.partial(functools.partial(one_or_two, 1), "x"), False),
        (AsyncCallable(), True),
        (Callable1(), False),
        (functools.partial(AsyncCallable(), 1), True),
        (AsyncCallable().__call__, True),
    ],
)
def test_plain_or_async_is_decided_at_declaration(function: Any, is_async: bool) -> None:
    assert of(function).is_async is is_async


def test_a_function_with_a_yield_is_refused_because_calling_it_runs_nothing() -> None:
    def generator(a: int) -> Any:
        yield a

    async def async_generator(a: int) -> Any:
        yield a

    for function in (generator, async_generator):
        with pytest.raises(RegistrationError, match="has a `yield`"):
            of(function)


class Order:
    made = 0

    def __init__(self) -> None:
        Order.made += 1

    def perform(self, a: int, b: int = 2) -> tuple[int, int]:
        return a, b

    def retry_in(self, count: int, error: BaseException, job: Any) -> int:
        return 10 + count

    def retries_exhausted(self, job: Any, error: BaseException) -> str:
        return str(job["jid"])


def test_a_class_is_performed_on_a_fresh_instance_each_time() -> None:
    handler = for_class(Order, "Order", DEFAULTS)
    Order.made = 0
    assert handler.call(1) == (1, 2)
    assert handler.bind()(3, 4) == (3, 4)
    assert Order.made == 2
    with pytest.raises(
        SignatureMismatch, match=r"`Order` is Order\.perform\(a: .*\); it was given 3 arguments, takes 1 to 2"
    ):
        handler.check([1, 2, 3])


def test_the_hooks_of_a_class_are_found_and_called_with_all_arguments() -> None:
    handler = for_class(Order, "Order", DEFAULTS)
    assert handler.retry_in is not None
    assert handler.retries_exhausted is not None
    assert handler.retry_in(3, ValueError(), {"jid": "x"}) == 13
    assert handler.retries_exhausted({"jid": "x"}, ValueError()) == "x"


def test_a_class_without_hooks_has_none() -> None:
    class Plain:
        async def perform(self) -> None: ...

    handler = for_class(Plain, "Plain", DEFAULTS)
    assert handler.retry_in is None
    assert handler.retries_exhausted is None
    assert handler.is_async


def test_a_class_that_needs_arguments_to_be_made_is_refused() -> None:
    class Needy:
        def __init__(self, session: Any) -> None: ...
        def perform(self) -> None: ...

    with pytest.raises(RegistrationError, match=r"Needy cannot be made without arguments .*session"):
        for_class(Needy, "Needy", DEFAULTS)


def test_perform_must_be_a_method() -> None:
    class Static:
        @staticmethod
        def perform(a: int) -> None: ...

    with pytest.raises(RegistrationError, match=r"Static\.perform is a staticmethod; expected a method"):
        for_class(Static, "Static", DEFAULTS)


def test_a_hook_may_leave_out_its_last_argument() -> None:
    handler = of(one, retry_in=lambda count, error: count * 2, retries_exhausted=lambda job: job["jid"])
    assert handler.retry_in is not None
    assert handler.retries_exhausted is not None
    assert handler.retry_in(4, ValueError(), {}) == 8
    assert handler.retries_exhausted({"jid": "x"}, ValueError()) == "x"


async def async_hook(count: int, error: BaseException, job: Any) -> int:
    return 1


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        (async_hook, "retry_in is an async function; expected a plain function"),
        (lambda count: 1, r"expected a plain function \(count, error, job\)"),
        (lambda a, b, c, d: 1, r"expected a plain function \(count, error, job\)"),
        (60, r"retry_in is 60; expected a plain function \(count, error, job\)"),
    ],
)
def test_a_hook_that_could_not_be_called_is_refused_at_declaration(hook: Any, message: str) -> None:
    with pytest.raises(RegistrationError, match=message):
        of(one, retry_in=hook)


def test_the_default_retry_and_the_timeout_come_from_the_options() -> None:
    handler = for_function(one, "A", {"retry": 7, "queue": "q", "timeout": 30})
    assert handler.default_retry == 7
    assert handler.timeout == 30
    assert of(one).timeout is None

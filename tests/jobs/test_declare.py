"""Declaring jobs: `@pykiq.job`, `pykiq.Job`, `pykiq.remote`."""

from __future__ import annotations

import abc
import dataclasses
import functools
from typing import Any

import pytest

import pykiq
from pykiq.errors import RegistrationError, UnknownClass
from pykiq.jobs.registry import registry
from pykiq.testing import fake


def test_the_default_name_is_the_functions_in_camel_case() -> None:
    @pykiq.job
    def charge_order(order_id: int) -> None: ...

    assert registry.names() == ["ChargeOrder"]


def test_a_bare_decorator_call_and_options_without_a_name_do_the_same() -> None:
    @pykiq.job()
    def charge_order() -> None: ...

    @pykiq.job(queue="low")
    def refund_order() -> None: ...

    assert registry.names() == ["ChargeOrder", "RefundOrder"]
    assert refund_order.job_options["queue"] == "low"


def test_a_decorated_function_is_still_the_function() -> None:
    @pykiq.job("Billing::ChargeJob", queue="critical", retry=5)
    def charge(order_id: int, note: str = "none") -> str:
        """Charges."""
        return f"{order_id} {note}"

    assert charge(42) == "42 none"
    assert charge(order_id=42, note="x") == "42 x"
    assert charge.__name__ == "charge"
    assert charge.__doc__ == "Charges."
    assert charge.handler is registry.get("Billing::ChargeJob")
    assert dict(charge.job_options) == {"retry": 5, "queue": "critical"}
    assert repr(charge) == "<job Billing::ChargeJob: charge(order_id: int, note: str = 'none')>"


def test_partials_and_objects_are_named_after_what_they_hold() -> None:
    def send_mail(to: str, subject: str) -> None: ...

    class FetchPage:
        def __call__(self, url: str) -> None: ...

    pykiq.job(functools.partial(send_mail, "ops@example.com"))
    pykiq.job(FetchPage())
    assert registry.names() == ["FetchPage", "SendMail"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("app.tasks.send_mail", r"is not a Ruby constant .*; did you mean 'App::Tasks::SendMail'\?"),
        ("send_mail", r"did you mean 'SendMail'\?"),
        ("Billing::", r"did you mean 'Billing'\?"),
        ("", "'' is not a Ruby constant"),
        ("Émile", "is not a Ruby constant"),
        ("9Lives", "is not a Ruby constant"),
        ("A B", r"did you mean 'AB'\?"),
        ("Billing:Charge", r"did you mean 'BillingCharge'\?"),
        ("Job\n", "is not a Ruby constant"),
    ],
)  # fmt: skip
def test_a_name_ruby_could_not_read_is_refused_with_a_suggestion(name: str, message: str) -> None:
    with pytest.raises(RegistrationError, match=message):
        pykiq.job(name)(lambda: None)
    with pytest.raises(RegistrationError, match=message):
        pykiq.remote(name)
    assert registry.names() == []


def test_a_function_whose_name_makes_no_constant_needs_one() -> None:
    def _() -> None: ...

    with pytest.raises(RegistrationError, match="'_' makes no name that Ruby could read; give one"):
        pykiq.job(_)


@pytest.mark.parametrize("function", [lambda: None, functools.partial(lambda: None), eval("lambda: None")])
def test_a_function_without_a_name_of_its_own_needs_one(function: Any) -> None:
    with pytest.raises(RegistrationError, match="'<lambda>' makes no name that Ruby could read; give one"):
        pykiq.job(function)
    assert pykiq.job(function, name="Given").job_name == "Given"


def test_a_name_with_letters_that_ruby_would_not_take_is_not_cut_out_of_it() -> None:
    def größe() -> None: ...

    with pytest.raises(RegistrationError, match="'größe' makes no name"):
        pykiq.job(größe)


def test_the_name_may_be_a_keyword_as_on_the_line_of_a_class() -> None:
    @pykiq.job(queue="m", name="Billing::ChargeJob")
    def charge(order_id: int) -> None: ...

    assert registry.names() == ["Billing::ChargeJob"]
    assert charge.job_name == "Billing::ChargeJob"
    assert dict(charge.job_options) == {"retry": True, "queue": "m"}


def test_a_name_and_options_may_be_given_with_the_function() -> None:
    def charge(order_id: int) -> None: ...

    job = pykiq.job(charge, name="Billing::ChargeJob", queue="m", retry_in=lambda count, error: 5)
    assert (job.job_name, job.job_options["queue"]) == ("Billing::ChargeJob", "m")
    assert job.handler.retry_in is not None


@pytest.mark.parametrize(("first", "second"), [("A", "B"), ("A", "A"), ("", "A")])
def test_two_names_are_one_too_many(first: str, second: str) -> None:
    call: Any = pykiq.job
    with pytest.raises(RegistrationError, match=r"@job was given the name .* and name=.*; expected one of them"):
        call(first, name=second)
    with pytest.raises(RegistrationError, match="a class of jobs has one name"):
        pykiq.remote("A", name=second)  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["send_mail", 5, b"Charge", ["Charge"]])
def test_a_name_that_will_not_do_is_refused_where_it_is_written(name: Any) -> None:
    with pytest.raises(RegistrationError):
        pykiq.job(name)
    with pytest.raises(RegistrationError):
        pykiq.job(name=name)


def test_a_class_given_to_the_decorator_is_sent_to_the_base_class() -> None:
    class Order: ...

    with pytest.raises(RegistrationError, match=r"the class .*Order; expected a function, or for a class derive it"):
        pykiq.job(Order)

    class Charge(pykiq.Job):
        def perform(self) -> None: ...

    for decorate in (pykiq.job, pykiq.job("Other"), pykiq.job(queue="x")):
        decorated: Any = decorate
        with pytest.raises(RegistrationError, match=r"is a job already; take @job away"):
            decorated(Charge)


@pytest.mark.parametrize("given", [5, [max], object()])
def test_what_is_no_function_is_refused(given: Any) -> None:
    with pytest.raises(RegistrationError, match=r"@job was given .*; expected a function"):
        pykiq.job("A")(given)


def test_a_staticmethod_is_the_function_in_it_async_or_not() -> None:
    class Tasks:
        @pykiq.job
        @staticmethod
        async def fetch(url: str) -> str:
            return url

        @staticmethod
        @pykiq.job
        def charge(order_id: int) -> int:
            return order_id

    assert registry.names() == ["Charge", "Fetch"]
    assert Tasks.fetch.handler.is_async
    assert Tasks.fetch.perform_inline("u") == "u"
    assert Tasks.charge.perform_inline(5) == 5


def test_a_classmethod_is_no_handler() -> None:
    with pytest.raises(RegistrationError, match=r"the classmethod .*work, and a job has no class to be called on"):

        class Worker:
            @pykiq.job
            @classmethod
            def work(cls, order_id: int) -> None: ...


def test_a_job_may_get_a_second_name_and_stays_what_it_is() -> None:
    @pykiq.job("New::FetchJob")
    @pykiq.job("Old::FetchJob", queue="low")
    async def fetch(url: str) -> str:
        return url

    old = registry.get("Old::FetchJob")
    new = registry.get("New::FetchJob")
    assert old is not None
    assert new is not None
    assert (old.is_async, new.is_async) == (True, True)
    assert new.target is old.target
    assert fetch.perform_inline("u") == "u"


@pytest.mark.parametrize(
    "code",
    [
        "def work():\n    yield",
        "async def work():\n    yield",
        "class Work:\n    def __call__(self):\n        yield\nwork = Work()",
        "import functools\ndef made():\n    yield\nwork = functools.partial(made)",
        "def made():\n    yield\nwork = staticmethod(made)",
    ],
)
def test_a_generator_function_is_no_handler(code: str) -> None:
    names: dict[str, Any] = {}
    exec(code, names)
    with pytest.raises(RegistrationError, match="has a `yield`, so calling it would run nothing"):
        pykiq.job("A")(names["work"])


def test_a_method_is_no_handler() -> None:
    """Its `self` would be the job's first argument."""
    with pytest.raises(RegistrationError, match=r"work takes `self`.* the method `perform` of a class"):

        class Worker:
            @pykiq.job
            def work(self, order_id: int) -> None: ...


def test_hooks_are_given_as_options_or_by_decorators() -> None:
    def exhausted(job: Any, error: BaseException) -> None: ...

    @pykiq.job(retry_in=lambda count, error, job: 60, retries_exhausted=exhausted)
    def first() -> None: ...

    @pykiq.job
    def second() -> None: ...

    @second.retry_in
    def delay(count: int, error: BaseException) -> Any:
        return pykiq.KILL if count > 3 else 10 * count

    @second.retries_exhausted
    def on_end(job: Any, error: BaseException) -> Any:
        return pykiq.DISCARD

    assert "retry_in" not in first.job_options
    assert first.handler.retry_in is not None
    assert first.handler.retry_in(0, ValueError(), {}) == 60
    assert first.handler.retries_exhausted is exhausted
    known = registry.get("Second")
    assert known is second.handler
    assert known.retry_in is not None
    assert known.retry_in(2, ValueError(), {}) == 20
    assert known.retry_in(4, ValueError(), {}) is pykiq.KILL
    assert known.retries_exhausted is on_end
    assert delay(1, ValueError()) == 10


def test_a_job_class_is_registered_under_its_own_name_or_the_given_one() -> None:
    class ProcessOrderJob(pykiq.Job, queue="orders", retry=3):
        def perform(self, order_id: int) -> int:
            return order_id

    class Renamed(pykiq.Job, name="Billing::Renamed"):
        async def perform(self) -> None: ...

    assert registry.names() == ["Billing::Renamed", "ProcessOrderJob"]
    assert dict(ProcessOrderJob.job_options) == {"retry": 3, "queue": "orders"}
    renamed = registry.get("Billing::Renamed")
    assert renamed is not None
    assert renamed.is_async


def test_a_class_without_perform_is_only_a_base_and_its_options_are_inherited() -> None:
    class Base(pykiq.Job, queue="low", retry=1):
        def retry_in(self, count: int, error: BaseException, job: Any) -> int:
            return 5

    class Abstract(Base, abc.ABC):
        @abc.abstractmethod
        def perform(self, a: int) -> None: ...

    class Concrete(Abstract, retry=2):
        def perform(self, a: int) -> None: ...

    assert registry.names() == ["Concrete"]
    assert dict(Concrete.job_options) == {"retry": 2, "queue": "low"}
    handler = registry.get("Concrete")
    assert handler is not None
    assert handler.retry_in is not None
    assert handler.retry_in(0, ValueError(), {}) == 5


def test_a_subclass_of_a_job_is_a_job_of_its_own() -> None:
    class Parent(pykiq.Job):
        def perform(self) -> str:
            return type(self).__name__

    class Child(Parent): ...

    assert registry.names() == ["Child", "Parent"]
    child = registry.get("Child")
    assert child is not None
    assert child.call() == "Child"


def test_a_base_is_not_pushed_by_any_verb() -> None:
    class Base(pykiq.Job, queue="low"):
        def retry_in(self, count: int, error: BaseException, job: Any) -> int:
            return 5

    class Template(pykiq.Job, abc.ABC):
        def perform(self, a: int) -> None:
            self.step(a)

        @abc.abstractmethod
        def step(self, a: int) -> None: ...

    assert registry.names() == []
    for base in (Base, Template):
        pushes: list[Any] = [
            lambda base=base: base.perform_async(1),
            lambda base=base: base.perform_in(5, 1),
            lambda base=base: base.perform_bulk([[1]]),
            lambda base=base: base.perform_inline(1),
            lambda base=base: base.set(queue="x").perform_async(1),
        ]
        with fake() as jobs:
            for push in pushes:
                with pytest.raises(UnknownClass, match=f"`{base.__name__}` has no method `perform`, or an abstract"):
                    push()
        assert jobs.jobs == []

    class Concrete(Template):
        def step(self, a: int) -> None: ...

    assert registry.names() == ["Concrete"]
    assert Concrete.job_options["queue"] == "default"


@pytest.mark.parametrize("code", ["def __init__(self, a): ...", "def __init__(self, *, a): ..."])
def test_a_class_that_cannot_be_made_without_arguments_is_refused(code: str) -> None:
    body: dict[str, Any] = {"perform": lambda self: None}
    exec(code, body)
    del body["__builtins__"]
    with pytest.raises(RegistrationError, match="cannot be made without arguments"):
        type("A", (pykiq.Job,), body)


def test_a_constructor_that_comes_later_is_found_when_it_is_looked_at_again() -> None:
    @dataclasses.dataclass
    class Later(pykiq.Job):
        url: str

        def perform(self) -> None: ...

    handler = registry.get("Later")
    assert handler is not None
    with pytest.raises(RegistrationError, match="Later cannot be made without arguments"):
        handler.check_made()


def test_a_remote_class_has_no_handler_here() -> None:
    hard = pykiq.remote("HardJob", queue="ruby", retry=5)
    assert registry.names() == []
    assert dict(hard.job_options) == {"retry": 5, "queue": "ruby"}
    assert repr(hard) == "<jobs of HardJob>"


@pytest.mark.parametrize("seconds", ["x", None, True])
def test_a_snooze_says_what_it_expects(seconds: Any) -> None:
    with pytest.raises(TypeError, match="expected seconds as a number"):
        pykiq.Snooze(seconds)

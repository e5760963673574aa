"""What the body of a class of jobs would say in vain is refused when the class is made."""

from __future__ import annotations

import abc
from typing import Any

import pytest

import pykiq
from pykiq.errors import RegistrationError
from pykiq.jobs.registry import registry

PERFORM = "def perform(self): ..."


def made(*lines: str, bases: tuple[type, ...] = (pykiq.Job,)) -> Any:
    """A class `A` with these lines in its body."""
    body: dict[str, Any] = {}
    for line in lines:
        exec(line, {"pykiq": pykiq}, body)
    return type("A", bases, body)


@pytest.mark.parametrize(
    "name",
    [
        "run", "Perform", "preform", "perfrom", "peform", "performs", "perform_now", "perform_later", "call",
        "execute", "handle", "process", "__call__", "PERFORM",
    ],
)  # fmt: skip
@pytest.mark.parametrize("line", ["def {}(self): ...", "async def {}(self): ...", "{} = staticmethod(max)"])
def test_a_method_in_the_place_of_perform_is_refused(name: str, line: str) -> None:
    with pytest.raises(RegistrationError, match=rf"A has a method `{name}` and none called `perform`"):
        made(line.format(name))
    assert registry.names() == []


@pytest.mark.parametrize("name", ["transform", "reform", "format_all", "helper", "_run", "retry_if", "setup", "on_end"])
def test_a_base_may_have_any_other_method(name: str) -> None:
    made(f"def {name}(self): ...")


def test_a_base_whose_method_has_such_a_name_declares_perform_as_abstract() -> None:
    class Base(pykiq.Job):
        def run(self) -> str:
            return "ran"

        @abc.abstractmethod
        def perform(self) -> str: ...

    class Task(Base):
        def perform(self) -> str:
            return self.run()

    assert registry.names() == ["Task"]
    assert Task.perform_inline() == "ran"


@pytest.mark.parametrize("name", ["run", "handle", "work", "reform"])
def test_beside_perform_a_method_may_have_such_a_name(name: str) -> None:
    made(PERFORM, f"def {name}(self): ...")
    assert registry.names() == ["A"]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("queue = 'x'", "queue"), ("retry = 3", "retry"), ("retry = False", "retry"), ("retry_for = 60", "retry_for"),
        ("retry_queue = 'x'", "retry_queue"), ("dead = False", "dead"), ("backtrace = True", "backtrace"),
        ("tags = ['a']", "tags"), ("timeout = 5", "timeout"), ("expires_in = 5", "expires_in"),
        ("unique_for = 5", "unique_for"), ("priority = 5", "priority"), ("extra = {}", "extra"),
        ("name = 'X::Y'", "name"),
        ("active_job = True", "active_job"), ("rescue = []", "rescue"), ("queue_as = max", "queue_as"),
        ("def before_perform(self, job): ...", "before_perform"),
    ],
)  # fmt: skip
def test_an_option_in_the_body_is_refused(line: str, name: str) -> None:
    with pytest.raises(
        RegistrationError, match=rf"A has `{name} = .*on the class line: class A\(pykiq.Job, {name}=…\)"
    ):
        made(PERFORM, line)
    with pytest.raises(RegistrationError, match=f"A has `{name} = "):
        made(line)  # of a base, whose options are inherited


@pytest.mark.parametrize("name", ["job_name", "job_options", "job_envelope", "sidekiq_options"])
def test_what_would_be_written_over_is_refused(name: str) -> None:
    with pytest.raises(RegistrationError, match=f"A has `{name}` in its body, where it is not read"):
        made(PERFORM, f"{name} = {{'queue': 'x'}}")


@pytest.mark.parametrize(
    "line", ["def queue(self): ...", "timeout = property(len)", "def name(self): ...", "name = 5", "dead = int"]
)
def test_methods_properties_and_classes_may_have_the_name_of_an_option(line: str) -> None:
    made(PERFORM, line)


@pytest.mark.parametrize("name", ["perform_async", "perform_in", "perform_bulk", "aperform_async"])
def test_code_in_a_verb_is_refused_and_a_verb_that_is_wrapped_is_not(name: str) -> None:
    with pytest.raises(RegistrationError, match=f"A has a method `{name}`, which is how its jobs are pushed"):
        made(f"def {name}(self, a): ...")
    made(PERFORM, f"@classmethod\ndef {name}(cls, *args): ...")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("sidekiq_retry_in", "retry_in"), ("retryin", "retry_in"), ("retryIn", "retry_in"), ("retry_inn", "retry_in"),
        ("sidekiq_retries_exhausted", "retries_exhausted"), ("retries_exausted", "retries_exhausted"),
        ("retry_exhausted", "retries_exhausted"), ("retriesExhausted", "retries_exhausted"),
    ],
)  # fmt: skip
def test_a_misspelt_hook_is_refused(name: str, meant: str) -> None:
    with pytest.raises(RegistrationError, match=f"A has a method `{name}`, which nobody calls; did you mean `{meant}`"):
        made(PERFORM, f"def {name}(self, job, error): ...")


def test_what_comes_from_a_mixin_is_looked_at_too() -> None:
    class Low:
        queue = "low"

    class Runs:
        def run(self) -> None: ...

    with pytest.raises(RegistrationError, match="A has `queue = 'low'"):
        made(PERFORM, bases=(Low, pykiq.Job))
    with pytest.raises(RegistrationError, match="A has a method `run` and none called `perform`"):
        made(bases=(Runs, pykiq.Job))
    made(PERFORM, bases=(Runs, pykiq.Job))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("def perform(): ...", r"A.perform\(\) takes no `self`"),
        ("def perform(*, a=1): ...", "takes no `self`"),
        ("def perform(self):\n    yield", "has a `yield`"),
        ("perform = staticmethod(max)", "A.perform is a staticmethod; expected a method"),
        ("perform = classmethod(max)", "A.perform is a classmethod; expected a method"),
        ("perform = property(len)", "A.perform is a property; expected a method"),
        ("perform = 'x'", "A.perform is a str; expected a method"),
    ],
)
def test_a_perform_that_is_no_method_is_refused(line: str, message: str) -> None:
    with pytest.raises(RegistrationError, match=message):
        made(line)

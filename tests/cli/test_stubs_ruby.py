"""The Ruby file that stands for Python's handlers. That Ruby loads it, and what it does there: tests/interop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pykiq
from pykiq.cli.stubs_ruby import literal, module_name, namespaces, ruby_file
from pykiq.errors import ConfigError
from pykiq.jobs.handler import Handler
from pykiq.jobs.registry import registry


@pytest.fixture(autouse=True)
def own_registry() -> Iterator[None]:
    before = dict(registry._handlers)
    registry.clear()
    yield
    registry._handlers = before


def declared() -> list[Handler]:
    @pykiq.job("Billing::ChargeJob", queue="critical", retry=5, tags=["a"], **{"x-y": 1})
    def charge(order_id: int, cents: int = 100) -> None: ...

    @pykiq.job("ShoutJob")
    async def shout(text: str) -> None: ...

    return [charge.handler, shout.handler]


def test_a_handler_becomes_a_class_with_its_options_and_its_signature_as_a_comment() -> None:
    text = ruby_file(declared(), "python", None)
    assert (
        "# charge(order_id: int, cents: int = 100), in tests.cli.test_stubs_ruby\n"
        "class Billing::ChargeJob\n"
        "  include Sidekiq::Job\n"
        '  sidekiq_options(retry: 5, queue: "critical", tags: ["a"], "x-y": 1)\n'
    ) in text
    assert "module Billing; end unless defined?(Billing)\n" in text
    assert '  CLASSES = [\n    "Billing::ChargeJob",\n    "ShoutJob",\n  ].freeze\n' in text
    assert '  QUEUE = "python"\n' in text


def test_an_active_job_becomes_one_and_is_handed_over_by_the_class_in_its_wrapper() -> None:
    @pykiq.job("Mail::InvoiceJob", active_job=True, queue="low")
    def invoice(number: int, *, copies: int = 1) -> None: ...

    text = ruby_file([invoice.handler], "python", None)
    assert 'class Mail::InvoiceJob < ActiveJob::Base\n  queue_as "low"\n' in text
    assert 'require "sidekiq"\nrequire "active_job"\n\nmodule' in text
    assert 'job["wrapped"] || job["class"]' in text
    assert "\nend unless defined?(Mail::InvoiceJob)" in text


def test_an_active_job_says_its_priority_and_its_other_options_where_sidekiq_gives_it_some() -> None:
    @pykiq.job("InvoiceJob", active_job=True, priority=-4, tags=["a"], retry=3, queue_as=lambda number: "low")
    def invoice(number: int) -> None: ...

    assert (
        "class InvoiceJob < ActiveJob::Base\n"
        "  # In Python a function of the arguments decides the queue.\n"
        '  queue_as "default"\n'
        "  queue_with_priority -4\n"
        '  sidekiq_options(retry: 3, tags: ["a"]) if respond_to?(:sidekiq_options)\n'
    ) in ruby_file([invoice.handler], "python", None)


def test_a_module_inside_of_a_class_that_is_a_handler_comes_after_it() -> None:
    @pykiq.job("Billing")
    def billing() -> None: ...

    @pykiq.job("Billing::Deep::Other")
    def other() -> None: ...

    text = ruby_file([billing.handler, other.handler], "python", None)
    places = [
        text.index(line) for line in ("class Billing\n", "module Billing::Deep; end", "class Billing::Deep::Other")
    ]
    assert places == sorted(places)


def test_the_file_is_the_same_every_time() -> None:
    handlers = declared()
    assert ruby_file(handlers, "python", None) == ruby_file(handlers, "python", None)


def test_the_module_is_the_one_that_rails_expects_in_a_file_of_that_name() -> None:
    text = ruby_file(declared(), "python", Path("app/jobs/ml_jobs.rb"))
    assert "module MlJobs\n" in text
    assert "chain.prepend MlJobs::Handover" in text


@pytest.mark.parametrize("out", ["jobs.py", "1.rb", "."])
def test_a_file_that_makes_no_module_is_refused(out: str) -> None:
    with pytest.raises(ConfigError, match=r"expected a Ruby file whose name makes a module, such as python_jobs\.rb"):
        module_name(Path(out))


def test_modules_stand_before_what_is_in_them_and_a_handler_is_none() -> None:
    assert namespaces(["A::B::C", "A::D", "E", "E::F"]) == ["A", "A::B"]


@pytest.mark.parametrize(
    ("value", "ruby"),
    [
        (None, "nil"), (True, "true"), (False, "false"), (5, "5"), (2**70, str(2**70)), (1.5e-7, "1.5e-07"),
        ("a\"b\\\n", '"a\\"b\\\\\\n"'), ("#{exit}", '"\\#{exit}"'), ("ü✓", '"ü✓"'),
        ({"a": [1, {}]}, '{"a" => [1, {}]}'),
    ],
)  # fmt: skip
def test_values_are_written_as_ruby_reads_them(value: Any, ruby: str) -> None:
    assert literal(value) == ruby

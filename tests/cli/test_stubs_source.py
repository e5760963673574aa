"""Job classes are found in Ruby as people write it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykiq.cli.stubs_source import RubyJob, files_of, jobs_in, parameters_of

SHOP = """
# frozen_string_literal: true

module Billing
  class BaseJob
    include Sidekiq::Worker
    sidekiq_options queue: :billing, retry: 3 # unless they say otherwise
  end

  class ChargeJob < BaseJob
    LIMIT = 5
    sidekiq_options(
      retry: false,

      tags: %w[a b],
    )
    sidekiq_options backtrace: ENV["BT"]

    class Error < StandardError
      def perform(nothing) = nothing
    end

    def perform(order_id, cents = 100)
      Order.find(order_id)
    end
  end
end

class Shop::InvoiceJob < ApplicationJob
  queue_as :low

  def perform(invoice, notify:)
  end
end

class Plain
  def perform(x)
  end
end

class ::OneLineJob; include ::Sidekiq::Job; def perform; end; end
"""


def by_name(*texts: str) -> dict[str, RubyJob]:
    return {job.name: job for job in jobs_in(texts)}


def shown(job: RubyJob) -> list[tuple[str, str]] | None:
    return None if job.parameters is None else [(one.name, one.kind) for one in job.parameters]


def test_only_classes_that_are_jobs_and_perform_are_found() -> None:
    assert list(by_name(SHOP)) == ["Billing::ChargeJob", "Shop::InvoiceJob", "OneLineJob"]


def test_options_come_from_the_class_and_from_its_base_classes_in_any_file() -> None:
    base, rest = (
        SHOP[: SHOP.index("  class ChargeJob")] + "end\n",
        "module Billing\n" + SHOP[SHOP.index("  class Cha") :],
    )
    for found in (by_name(SHOP), by_name(rest, base)):
        charge = found["Billing::ChargeJob"]
        assert charge.options == {"queue": "billing", "retry": False, "tags": ["a", "b"]}
        assert [line.partition(": ")[2] for line in charge.left_out] == ['sidekiq_options backtrace: ENV["BT"]']


def test_of_options_that_are_not_all_literals_the_others_are_read() -> None:
    options = "(queue: :low, lock: LOCK, retry_for: 2.days, on_conflict: {client: :log, server: handler(1, 2)})"
    [job] = jobs_in([f"class A\n  include Sidekiq::Job\n  sidekiq_options{options}\n  def perform; end\nend\n"])
    assert job.options == {"queue": "low", "retry_for": 172_800}
    assert job.left_out == [
        "line 3: sidekiq_options lock: LOCK",
        "line 3: sidekiq_options on_conflict: {client: :log, server: handler(1, 2)}",
    ]


def test_the_priority_of_an_active_job_is_read() -> None:
    [job] = jobs_in(["class A < ApplicationJob\n  queue_with_priority 5\n  def perform; end\nend\n"])
    assert job.options == {"priority": 5}


def test_an_active_job_is_known_by_its_parent() -> None:
    invoice = by_name(SHOP)["Shop::InvoiceJob"]
    assert (invoice.active_job, invoice.options) == (True, {"queue": "low"})
    assert shown(invoice) == [("invoice", "required"), ("notify", "key")]


def test_the_perform_of_a_class_inside_is_not_the_job_s() -> None:
    assert shown(by_name(SHOP)["Billing::ChargeJob"]) == [("order_id", "required"), ("cents", "optional")]


def test_a_queue_that_is_worked_out_is_named_as_left_out() -> None:
    [job] = jobs_in(["class A < ApplicationJob\n  queue_as do\n    x\n  end\n  def perform\n  end\nend\n"])
    assert (job.options, job.left_out) == ({}, ["line 2: queue_as do"])


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("", []),
        ("(a, b = {x: [1, 2]}, *c)", [("a", "required"), ("b", "optional"), ("c", "rest")]),
        (" a, b", [("a", "required"), ("b", "required")]),
        ("(a) = run(a, 1)", [("a", "required")]),
        ("(*, **)", [("args", "rest"), ("keywords", "keys")]),
        (
            "(a, to:, at: 5, **more, &block)",
            [("a", "required"), ("to", "key"), ("at", "optional_key"), ("more", "keys")],
        ),
        ('(a = "x, y", b = 2)', [("a", "optional"), ("b", "optional")]),
        ("(a, from: 1)", None),
        ("(a = 1, b)", None),
        ("((a, b), c)", None),
    ],
)
def test_parameters_are_told_apart(text: str, parameters: list[tuple[str, str]] | None) -> None:
    assert shown(RubyJob("A", parameters=parameters_of(text))) == parameters


def test_a_loop_of_base_classes_ends() -> None:
    assert jobs_in(["class A < B\n def perform\n end\nend\nclass B < A\nend\nclass C < C\nend\n"]) == []


def test_a_folder_stands_for_all_ruby_files_in_it(tmp_path: Path) -> None:
    for name in ("b.rb", "deep/a.rb", "c.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert files_of(tmp_path) == [tmp_path / "b.rb", tmp_path / "deep/a.rb"]

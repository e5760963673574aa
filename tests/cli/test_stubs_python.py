"""The Python module that stands for Ruby's classes."""

from __future__ import annotations

import pytest

from pykiq.cli.stubs_python import HEADER, python_file
from pykiq.cli.stubs_source import Parameter, RubyJob


def body(*jobs: RubyJob) -> str:
    return python_file(jobs).removeprefix(HEADER).lstrip()


def test_a_class_with_parameters_is_typed_by_a_function_that_is_like_its_perform() -> None:
    parameters = [Parameter("order_id", "required"), Parameter("class", "optional"), Parameter("rest", "rest")]
    job = RubyJob("Billing::ChargeJob", options={"queue": "low", "retry": 5, "tags": ["it's"]}, parameters=parameters)
    assert body(job) == (
        "from typing import Any\n\nimport pykiq\n\n\n"
        "def _charge_job(order_id: Any, class_: Any = ..., /, *rest: Any) -> None: ...\n\n\n"
        'ChargeJob = pykiq.remote("Billing::ChargeJob", like=_charge_job, queue="low", retry=5, tags=["it\'s"])\n'
    )


def test_a_class_of_which_only_the_name_is_known_takes_anything() -> None:
    assert body(RubyJob("HardJob")) == 'import pykiq\n\nHardJob = pykiq.remote("HardJob")\n'


def test_two_classes_with_one_last_name_get_their_whole_names() -> None:
    text = body(RubyJob("A::Job"), RubyJob("B::Job"), RubyJob("C"))
    assert [line.split(" ")[0] for line in text.splitlines() if " = " in line] == ["AJob", "BJob", "C"]


def test_options_that_pykiq_does_not_know_are_passed_all_the_same() -> None:
    text = body(
        RubyJob(
            "A", options={"retry": 3, "lock": None, "unique_for": 5, "x-y": {"a": [1.5, True]}, "from": "b", "like": 1}
        )
    )
    others = '{"lock": None, "unique_for": 5, "x-y": {"a": [1.5, True]}, "from": "b", "like": 1}'
    assert f'pykiq.remote("A", retry=3, extra={others})' in text


def test_keywords_are_for_active_job_only() -> None:
    keys = [Parameter("a", "required"), Parameter("to", "key"), Parameter("at", "optional_key"), Parameter("m", "keys")]
    assert "def _a(a: Any, /) -> None" in body(RubyJob("A", parameters=keys))
    active = body(RubyJob("A", parameters=keys, active_job=True))
    assert "def _a(a: Any, /, *, to: Any, at: Any = ..., **m: Any) -> None" in active
    assert "active_job=True" in active


def test_what_was_left_out_is_said() -> None:
    text = body(RubyJob("A", left_out=["line 3: sidekiq_options queue: QUEUE"]))
    assert "# Left out, it is more than literals: line 3: sidekiq_options queue: QUEUE\nA = " in text


@pytest.mark.parametrize("value", ["it's", 'say "a"', "both ' and \"", "\\ \n", "ü✓"])
def test_any_text_comes_back(value: str) -> None:
    line = body(RubyJob("A", options={"note": value})).splitlines()[-1]
    seen: dict[str, object] = {}
    exec(line.replace("A = pykiq.remote", "seen.update").replace('"A", ', "", 1), {"seen": seen})
    assert seen == {"extra": {"note": value}}

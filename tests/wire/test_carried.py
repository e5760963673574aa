"""Context in a payload: what real Ruby, OpenTelemetry, Sentry and Datadog wrote is read, odd values are not."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pykiq.wire import carried
from pykiq.wire.carried import Trace
from pykiq.wire.payload import parse
from tests.captures import FIXTURES, VERSIONS, read


def recorded(gem: str, name: str = "payloads") -> list[dict[str, Any]]:
    """The payloads that a gem's capture holds, one per step."""
    steps = json.loads((FIXTURES / gem / f"{name}.json").read_text("utf-8"))["steps"]
    return [parse(step["raw"].encode()) for step in steps if "raw" in step]


def first(version: str, name: str) -> dict[str, Any]:
    return parse(read(version, name).payloads()[0])


@pytest.mark.parametrize("version", VERSIONS)
def test_the_locale_is_the_one_that_ruby_wrote(version: str) -> None:
    job = first(version, "i18n_locale")
    assert carried.locale(job) == "fr"
    assert carried.of(job) == {"locale": "fr"}


@pytest.mark.parametrize("version", VERSIONS)
def test_current_attributes_are_read_in_the_form_of_each_version(version: str) -> None:
    job = first(version, "cattr_executed_and_retry")
    assert carried.attributes(job) == {"user_id": 42, "role": "admin"}
    assert carried.of(job) == {"cattr": job["cattr"]}, "passed on as it is"


@pytest.mark.parametrize("version", ["7.3.2", "8.1.7"])
def test_the_attributes_of_several_classes_are_read_together(version: str) -> None:
    job = first(version, "cattr_two_classes")
    assert carried.attributes(job) == {"user_id": 1, "tenant": "acme"}
    assert list(carried.of(job)) == ["cattr", "cattr_1"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_job_that_was_pushed_with_nothing_set_has_no_attributes(version: str) -> None:
    assert carried.attributes(first(version, "cattr_empty")) == {}


def test_rich_values_of_sidekiq_8_have_the_types_of_active_job_and_before_they_are_text() -> None:
    eight = carried.attributes(first("8.1.7", "cattr_rich_values"))
    assert (eight["user_id"], eight["role"]) == (42, "admin")
    assert eight["since"] == datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert eight["opts"] == {"a": 1, "b": ["c"]}
    assert carried.attributes(first("7.3.2", "cattr_rich_values"))["since"].startswith("2030-01-02")


def test_a_value_that_active_job_could_not_read_is_given_as_it_is() -> None:
    odd = {"_aj_serialized": "ActiveJob::Serializers::TimeSerializer", "value": "never"}
    assert carried.attributes({"cattr": [["at", odd]]}) == {"at": odd}


def test_of_two_classes_with_one_attribute_the_first_one_counts() -> None:
    assert carried.attributes({"cattr": {"id": 1}, "cattr_1": {"id": 2}, "cattr_3": {"lost": 3}}) == {"id": 1}


@pytest.mark.parametrize("odd", [None, 5, "x", [], [1], [["a"]], [[5, 1]], [["a", 1, 2]], [[{"value": "a"}, 1]], {}])
def test_odd_attributes_are_none(odd: object) -> None:
    assert carried.attributes({"cattr": odd}) == {}


@pytest.mark.parametrize("odd", [None, 5, "", ["fr"]])
def test_an_odd_locale_is_none(odd: object) -> None:
    assert carried.locale({"locale": odd}) is None


def test_what_is_null_is_not_passed_on() -> None:
    assert carried.of({"locale": None, "cattr": None, "traceparent": None, "class": "A"}) == {}


@pytest.mark.parametrize("key", ["cattr_", "cattr_0", "cattr_x", "cattr_1x", "cattribute", "x-datadog-other", "class"])
def test_keys_that_only_look_like_context_are_not_passed_on(key: str) -> None:
    assert carried.of({key: {}}) == {}


def test_opentelemetry_s_trace_is_read() -> None:
    job = recorded("opentelemetry-instrumentation-sidekiq-0.29.0", "payloads_link_queue")[1]
    assert carried.trace(job) == Trace("b081e174cb57ac588310d2f6908fc2bd", "a271b8922bf4f2a8", True)
    assert list(carried.of(job)) == ["traceparent", "baggage"]


@pytest.mark.parametrize("gem", ["sentry-sidekiq-5.18.2", "sentry-sidekiq-7.1.0"])
def test_sentry_s_trace_is_read(gem: str) -> None:
    for job in recorded(gem):
        headers = job.get("trace_propagation_headers")
        if headers is None:
            assert carried.trace(job) is None
            continue
        trace_id, span_id, *sampled = headers["sentry-trace"].split("-")
        assert carried.trace(job) == Trace(trace_id, span_id, {"1": True, "0": False}[sampled[0]] if sampled else None)
        assert carried.of(job)["trace_propagation_headers"] == headers


def test_datadog_s_own_keys_name_the_trace_that_its_traceparent_names() -> None:
    job = recorded("datadog-2.41.0")[0]
    w3c = carried.trace(job)
    assert w3c is not None
    own = {key: value for key, value in job.items() if key != "traceparent"}
    assert carried.trace(own) == w3c
    assert {key for key in carried.of(job) if key.startswith("x-")} == {key for key in job if key.startswith("x-")}


def test_datadog_s_keys_alone_name_a_trace_of_64_bits() -> None:
    [job] = [job for job in recorded("datadog-2.41.0") if "x-datadog-tags" not in job and "x-datadog-trace-id" in job]
    assert carried.trace(job) == Trace(f"{1234567890123456789:032x}", f"{987654321:016x}", True)


IDS = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"


@pytest.mark.parametrize(
    "odd",
    [
        {"traceparent": 5},
        {"traceparent": "nonsense"},
        {"traceparent": f"00-{IDS}"},
        {"traceparent": f"00-{IDS}-01-more"},
        {"traceparent": f"ff-{IDS}-01"},
        {"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"},
        {"traceparent": f"00-{IDS.upper()}-01"},
        {"trace_propagation_headers": "x"},
        {"trace_propagation_headers": {"sentry-trace": 5}},
        {"x-datadog-trace-id": "1"},
        {"x-datadog-trace-id": 1, "x-datadog-parent-id": 2},
        {"x-datadog-trace-id": "٣", "x-datadog-parent-id": "2"},
        {"x-datadog-trace-id": "9" * 5000, "x-datadog-parent-id": "2"},
        {"x-datadog-trace-id": str(1 << 64), "x-datadog-parent-id": "2"},
        {"x-datadog-trace-id": "0", "x-datadog-parent-id": "2"},
    ],
    ids=repr,
)
def test_an_odd_trace_is_none(odd: dict[str, Any]) -> None:
    assert carried.trace(odd) is None


def test_a_later_version_of_traceparent_is_read_as_far_as_it_is_known() -> None:
    assert carried.trace({"traceparent": f"01-{IDS}-00-more"}) == Trace(*IDS.split("-"), False)

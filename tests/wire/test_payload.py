"""Reading a payload's parts never raises, whatever is in them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykiq.errors import Unreadable
from pykiq.wire.exactjson import dumps
from pykiq.wire.payload import arguments, attempt, class_name, display_name, handler_name, latency, legible, parse
from tests import captures

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
KEYS = ("class", "args", "wrapped", "display_class", "retry_count", "enqueued_at", "created_at")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS, JSON)))
def test_no_odd_value_makes_reading_raise(payload: dict[str, Any]) -> None:
    assert class_name(payload) is None or class_name(payload)
    assert display_name(payload)
    assert isinstance(arguments(payload), list)
    assert attempt(payload) >= 0
    waited = latency(payload, 1795315631.5)
    assert waited is None or waited >= 0


def test_parsing_gives_a_fresh_object_each_time() -> None:
    raw = b'{"class":"A","args":[[]]}'
    parse(raw)["args"].append(1)
    assert parse(raw) == {"class": "A", "args": [[]]}


@pytest.mark.parametrize("raw", [b"[1]", b"5", b"null", b"true", b'"x"', b"1.5"])
def test_json_that_is_no_object_is_unreadable(raw: bytes) -> None:
    with pytest.raises(Unreadable, match=r"the bytes are JSON, but .*; a job is a JSON object"):
        parse(raw)


@pytest.mark.parametrize(
    ("given_class", "name"),
    [("A::B", "A::B"), ("::A", "A"), ("", None), ("::", None), (5, None), (None, None), ([], None)],
)
def test_the_class_is_a_string_without_leading_colons(given_class: Any, name: str | None) -> None:
    assert class_name({"class": given_class}) == name


def test_people_see_display_class_then_wrapped_then_class() -> None:
    payload: dict[str, Any] = {"class": "::Wrapper"}
    assert display_name(payload) == "Wrapper"
    payload["wrapped"] = "Real"
    assert display_name(payload) == "Real"
    payload["display_class"] = "Real#deliver"
    assert display_name(payload) == "Real#deliver"
    payload.update(wrapped=5, display_class="")
    assert display_name(payload) == "Wrapper"
    assert display_name({}) == "?"


@pytest.mark.parametrize("name", ["aj_plain", "aj_minimal_job_data"])
@pytest.mark.parametrize("version", captures.VERSIONS)
def test_an_active_job_is_shown_and_handled_by_its_own_class(version: str, name: str) -> None:
    job = parse(captures.read(version, name).payloads()[0])
    assert display_name(job) == handler_name(job) == "AjOk"


def test_a_wrapper_around_nothing_goes_by_its_own_name() -> None:
    job = {"class": "::Sidekiq::ActiveJob::Wrapper", "args": [{"job_class": 5}], "wrapped": "::"}
    assert handler_name(job) == "Sidekiq::ActiveJob::Wrapper"
    assert handler_name({"class": "A", "wrapped": "B"}) == "A"
    assert handler_name({}) is None


@pytest.mark.parametrize(
    ("args", "read"),
    [
        ([1, [2]], [1, [2]]),
        (None, []),
        ({"a": 1, "b": 2}, [["a", 1], ["b", 2]]),
        ("x", ["x"]),
        (5, [5]),
        (True, [True]),
    ],
)
def test_odd_arguments_are_read_as_ruby_splats_them(args: Any, read: list[Any]) -> None:
    assert arguments({"args": args}) == read
    assert arguments({}) == []


def test_a_handler_gets_plain_floats_and_the_payload_keeps_their_spelling() -> None:
    payload = parse(b'{"class":"A","args":[1.50,{"a":[1.0e+20]},2]}')
    assert orjson.dumps(arguments(payload)) == orjson.dumps([1.5, {"a": [1e20]}, 2])
    assert dumps(payload) == b'{"class":"A","args":[1.50,{"a":[1.0e+20]},2]}'


@pytest.mark.parametrize(
    ("retry_count", "executions"),
    [(None, 0), (0, 1), (1, 2), (24, 25), (-1, 0), (-9, 0), (2.0, 3), ("3", 0), (True, 0), ([], 0), (float("inf"), 0)],
)
def test_the_attempt_is_the_number_of_executions_before(retry_count: Any, executions: int) -> None:
    assert attempt({"retry_count": retry_count}) == executions
    assert attempt({}) == 0


def test_latency_counts_from_enqueued_at_in_either_unit() -> None:
    now = 1795315641.5
    assert latency({"enqueued_at": 1795315631.5, "created_at": 1.5}, now) == 10
    assert latency({"enqueued_at": 1795315631500}, now) == 10
    assert latency({"created_at": 1795315631500, "enqueued_at": "x"}, now) == 10
    assert latency({"enqueued_at": now + 5}, now) == 0
    assert latency({}, now) is None


@pytest.mark.parametrize("raw", [b"[1]", b"5", b"null", b'"text"', b" true "])
def test_json_that_is_no_object_is_marked_as_text_for_ruby(raw: bytes) -> None:
    assert legible(raw) == b"not a job: " + raw
    with pytest.raises(Unreadable):
        parse(legible(raw))


@pytest.mark.parametrize("raw", [b"{}", b' {"class":"Job"}', b"", b"{broken", b"[1", b"\xff", b"NaN"])
def test_a_job_and_what_is_no_json_stay_as_they_are(raw: bytes) -> None:
    assert legible(raw) == raw

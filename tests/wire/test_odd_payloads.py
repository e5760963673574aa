"""What becomes of each odd payload of WIRE.md §19: read like Ruby reads it, or unreadable."""

from __future__ import annotations

import pytest

from pykiq.errors import Unreadable
from pykiq.wire.payload import arguments, class_name, parse
from tests import captures

# Ruby 6.4, 7.3 and 8.1 put these into `dead` as they are.
INVALID_JSON = (
    "invalid_json",
    "odd_json_1dot",
    "odd_json_bom",
    "odd_json_control_char",
    "odd_json_dot5",
    "odd_json_empty",
    "odd_json_infinity",
    "odd_json_leading_zero",
    "odd_json_lone_surrogate",
    "odd_json_nan",
    "odd_json_nesting_100",
    "odd_json_plus",
    "odd_json_single_quotes",
    "odd_json_trailing_comma",
    "odd_json_truncated",
    "odd_json_two_docs",
)
NOT_AN_OBJECT = ("odd_json_array", "odd_json_number", "odd_json_null", "odd_json_string", "odd_json_true")

# Ruby ran these; its job wrote down the arguments it was given.
RUNS = (
    "odd_json_dup_keys",  # 8.1 refuses it; 6.4 and 7.3 read the last of the two, and so does pykiq, which loses nothing
    "odd_json_nul_escape",
    "odd_json_numbers",
    "odd_json_surrogate_pair",
    "odd_json_whitespace",
    "odd_ok_args_hash",
    "odd_ok_args_null",
    "odd_ok_args_number",
    "odd_ok_args_string",
    "odd_ok_last_arg_hash_no_kwargs",
    "odd_ok_leading_colons",
    "odd_ok_missing_everything",
    "odd_ok_namespaced",
)


def by_hand(version: str, name: str) -> bytes:
    capture = captures.read(version, name)
    [(_, raw)] = capture.by_hand
    return raw


@pytest.mark.parametrize("version", captures.VERSIONS)
@pytest.mark.parametrize("name", INVALID_JSON)
def test_what_ruby_calls_invalid_json_is_unreadable(version: str, name: str) -> None:
    raw = by_hand(version, name)
    assert captures.read(version, name).members("dead") == [raw]
    with pytest.raises(Unreadable):
        parse(raw)


@pytest.mark.parametrize("name", NOT_AN_OBJECT)
def test_json_that_is_no_object_is_unreadable_and_so_not_lost_as_in_ruby(name: str) -> None:
    for version in captures.VERSIONS:
        capture = captures.read(version, name)
        assert "dead" not in capture.data["redis"], "Ruby loses it"
        with pytest.raises(Unreadable, match="a job is a JSON object"):
            parse(by_hand(version, name))


def test_a_comment_is_unreadable_as_in_the_strictest_ruby() -> None:
    assert captures.read("8.1.7", "odd_json_comment").members("dead")
    assert not captures.read("7.3.2", "odd_json_comment").members("dead")
    with pytest.raises(Unreadable):
        parse(by_hand("8.1.7", "odd_json_comment"))


def test_99_brackets_of_arguments_are_read() -> None:
    for name in ("odd_json_nesting_98", "odd_json_nesting_99"):
        assert class_name(parse(by_hand("8.1.7", name))) == "OkJob"


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("version", captures.VERSIONS)
def test_odd_arguments_are_read_as_ruby_reads_them(version: str, name: str) -> None:
    ruby = "7.3.2" if name == "odd_json_dup_keys" and version == "8.1.7" else version
    [given] = [event[1] for event in captures.read(ruby, name).data["events"] if event[0] == "perform"]
    assert repr(arguments(parse(by_hand(version, name)))) == repr(given)


def test_bytes_that_are_not_utf8_are_kept() -> None:
    raw = by_hand("8.1.7", "unserialisable_on_failure_invalid_utf8")
    assert b"\xff" in raw
    assert parse(raw)["note"] == "bad \udcff byte"


def test_an_overflowing_number_is_kept() -> None:
    assert arguments(parse(by_hand("8.1.7", "unserialisable_on_failure_1e400"))) == [float("inf")]


def test_a_class_that_is_missing_or_no_string_is_none() -> None:
    assert class_name(parse(by_hand("8.1.7", "odd_class_missing"))) is None
    assert class_name(parse(by_hand("8.1.7", "odd_class_number"))) is None

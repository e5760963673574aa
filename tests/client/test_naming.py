"""Which class names Ruby can read."""

from __future__ import annotations

import pytest

from pykiq.client.naming import camel_case, is_constant


@pytest.mark.parametrize("name", ["A", "ChargeOrder", "Billing::ChargeJob", "::Top", "A1_b::C", "HTTPFetch"])
def test_constants_are_recognised(name: str) -> None:
    assert is_constant(name)


@pytest.mark.parametrize(
    "name", ["", "a", "A::", "::", "A::b", "A:B", "A.B", "A-B", "A B", "A\n", "1A", ":::A", "Émile", "A::::B"]
)
def test_other_names_are_not(name: str) -> None:
    assert not is_constant(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("charge_order", "ChargeOrder"),
        ("HTTPFetch", "HTTPFetch"),
        ("_private", "Private"),
        ("a1_b2", "A1B2"),
        ("_", ""),
    ],
)
def test_function_names_become_class_names(name: str, expected: str) -> None:
    assert camel_case(name) == expected

"""Delays lie where Ruby's lie, and are spread as Ruby spreads them."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykiq.wire.backoff import custom_delay, delay, jitter
from pykiq.wire.dialect import EIGHT, SEVEN, SIX, Dialect
from tests import captures

DIALECTS = {"6.4.1": SIX, "7.3.2": SEVEN, "8.1.7": EIGHT}
ANY = st.sampled_from([SIX, SEVEN, EIGHT])


@given(st.integers(-3, 1000), ANY, st.randoms(use_true_random=False))
def test_a_delay_is_the_fourth_power_15_seconds_and_jitter(count: int, dialect: Dialect, rng: random.Random) -> None:
    counted = max(0, count)
    added = delay(count, dialect, rng) - counted**4 - 15
    assert 0 <= added < 10 * (counted + 1)
    if dialect.stepped_jitter:
        assert added % (counted + 1) == 0


def test_an_absurd_count_gives_a_delay_that_redis_can_still_store() -> None:
    for count in (10**200, 1e200, 2.0, -7):
        assert 15 <= delay(count, EIGHT, random.Random(1)) < 1e21


@pytest.mark.parametrize("version", captures.VERSIONS)
def test_jitter_is_spread_as_in_the_capture_of_400_failures(version: str) -> None:
    ruby = Counter(
        {int(s): n for s, n in captures.read(version, "jitter_count_4_x400").data["jitter_histogram"].items()}
    )
    rng = random.Random(4)
    ours = Counter(jitter(4, DIALECTS[version], rng) for _ in range(20_000))
    assert set(ruby) == set(ours), "every value that can come has come to both"
    expected = ruby.total() / len(ours)
    chi_squared = sum((ruby[second] - expected) ** 2 / expected for second in ours)
    assert chi_squared < 2 * len(ours), "Ruby draws them evenly"
    assert all(abs(n - 20_000 / len(ours)) < 0.25 * 20_000 / len(ours) for n in ours.values()), "and so do we"


@pytest.mark.parametrize("version", captures.VERSIONS)
def test_jitter_is_added_to_a_delay_of_ones_own(version: str) -> None:
    histogram = captures.read(version, "retry_in_jitter_count_4_x200").data["jitter_histogram"]
    rng = random.Random(5)
    drawn = [custom_delay(5, 4, DIALECTS[version], rng) for _ in range(5000)]
    assert {int(second) for second in histogram} <= {second - 5 for second in drawn if second is not None}


@pytest.mark.parametrize(
    ("returned", "seconds"),
    [(10, 10), (10.9, 10), ("10", 10), (" 10 minutes", 10), (timedelta(minutes=2), 120), (10**9, 10**9), (1, 1)],
)
@given(dialect=ANY, rng=st.randoms(use_true_random=False), count=st.integers(0, 30))
def test_a_delay_of_ones_own_is_cut_to_seconds(
    returned: Any, seconds: int, dialect: Dialect, rng: random.Random, count: int
) -> None:
    chosen = custom_delay(returned, count, dialect, rng)
    assert chosen is not None
    assert 0 <= chosen - seconds < 10 * (count + 1)


@pytest.mark.parametrize(
    "returned",
    [
        None,
        0,
        -5,
        0.9,
        "",
        "soon",
        "0",
        "-3",
        True,
        False,
        [],
        object(),
        float("nan"),
        float("inf"),
        timedelta(0),
        10**400,
    ],
    ids=lambda value: type(value).__name__ + (repr(value) if type(value) is not object else ""),
)
def test_anything_else_means_the_default_formula(returned: object) -> None:
    assert custom_delay(returned, 3, SEVEN, random.Random(1)) is None

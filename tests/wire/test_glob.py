"""Redis' globs, matched as Redis matches them, in linear time."""

from __future__ import annotations

import pytest
import redis as redis_py
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pykiq.wire.glob import Glob, escaped, of_stars

PATTERNS = st.lists(
    st.sampled_from(["a", "b", "*", "?", "[ab]", "[^a]", "[a-c]", "\\*", "[", "]", "-", "^", "\\", "é"]), max_size=7
)
TEXTS = st.text(st.sampled_from("abc*?[]-^\\é\n"), max_size=7)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PATTERNS.map("".join), st.sets(TEXTS.filter(bool), min_size=1, max_size=20))
def test_it_matches_what_redis_matches(redis: redis_py.Redis, pattern: str, texts: set[str]) -> None:
    # Not the empty text, which no payload is: `*` matches it in Redis, and `**` does not.
    redis.delete("texts")
    raws = {text.encode() for text in texts}
    redis.sadd("texts", *raws)
    found = set(redis.sscan_iter("texts", match=pattern, count=100))
    glob = Glob(pattern.encode())
    assert {raw for raw in raws if glob.matches(raw)} == found
    assert all(glob.literal in raw for raw in found)


@given(TEXTS, TEXTS)
def test_what_is_escaped_means_just_that_text(text: str, other: str) -> None:
    assert Glob(escaped(text).encode()).matches(other.encode()) == (text == other)
    assert of_stars(f"{text}*").matches((text + other).encode())


@pytest.mark.parametrize("pattern", ["a*b*c", "*a" * 30, "*" * 500 + "c", "a?a*" * 20 + "c", "*[ab]*[ab]*[ab]*[ab]*c"])
def test_looking_for_many_pieces_in_much_text_looks_at_each_place_once(pattern: str) -> None:
    """Without an end to it this test would not end: a regular expression of five stars takes years."""
    text = b"ab" * 20_000
    assert not Glob(f"{pattern}x".encode()).matches(text)
    assert Glob(f"{pattern}*".encode()).matches(text + b"c")

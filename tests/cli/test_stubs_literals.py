"""Literals of Ruby, and the refusal of everything that would have to be run."""

from __future__ import annotations

from typing import Any

import pytest

from pykiq.cli.stubs_literals import NotRead, options_of


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", {}),
        (" queue: :low", {"queue": "low"}),
        ("(queue: 'low', retry: false,)", {"queue": "low", "retry": False}),
        (' :queue => "low", "retry" => 5', {"queue": "low", "retry": 5}),
        (' "x-y": nil, dead: true', {"x-y": None, "dead": True}),
        (" tags: %w[a b], more: [1, [2.5], :c]", {"tags": ["a", "b"], "more": [1, [2.5], "c"]}),
        (" lock: {type: :until, on: { 'a' => -1 }}", {"lock": {"type": "until", "on": {"a": -1}}}),
        (" retry_for: 2.days, a: 90.minutes.to_i, b: 1.hour", {"retry_for": 172800, "a": 5400, "b": 3600}),
        (" big: 1_000_000, small: 1.5e-7", {"big": 1_000_000, "small": 1.5e-7}),
        (' text: "größe ✓ #1"', None),
    ],
)
def test_literals_are_read(text: str, options: dict[str, Any] | None) -> None:
    if options is None:
        with pytest.raises(NotRead):  # `#` in double quotes may begin code
            options_of(text)
    else:
        assert options_of(text) == options


@pytest.mark.parametrize(
    "text",
    [
        ' backtrace: ENV["BT"]', " queue: QUEUE", " retry: 5 + 1", " retry: -> { 5 }", ' queue: "#{a}"', " queue:",
        " **DEFAULTS", " queue: :low if production?", " retry: 5.years", r' text: "a\n"', " tags: [1", " lock: {a: 1",
        " :queue, 5", " 5 => 1", "(queue: :low) { }",
    ],
)  # fmt: skip
def test_what_would_have_to_be_run_is_not_read(text: str) -> None:
    with pytest.raises(NotRead):
        options_of(text)

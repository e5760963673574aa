"""Passwords are hidden in text of any kind, also in text that is nearly a URL."""

from __future__ import annotations

import pytest

from pykiq.config.masking import masked


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("redis://user:s3cret@host", "redis://user:***@host"),
        ("redis://:s3cret@host:1/0", "redis://:***@host:1/0"),
        ("redis://s3cret@host", "redis://***@host"),  # without a colon it may be a password
        ("redis://:a/b@c#s3cret@host", "redis://:***@host"),
        ("cannot reach redis://:s3cret@host: refused", "cannot reach redis://:***@host: refused"),
        ("redis://host?sentinel_password=s3cret&db=1", "redis://host?sentinel_password=***&db=1"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        (":s3cret@host/0", "***@host/0"),
        ("redis:/:s3cret@host", "***@host"),
        ("redis//:s3cret@host", "***@host"),
        ("redis%3A//:s3cret@host", "***@host"),
        ("two: u:s3cret@one redis://u:s3cret@two", "two: ***@one redis://u:***@two"),
        ("redis://host?auth=s3cret&db=1", "redis://host?auth=***&db=1"),
        ("redis://host#pwd=s3cret", "redis://host#pwd=***"),
        ("somebody@example.com", "somebody@example.com"),
        ("a queue: mail@example", "a queue: mail@example"),
    ],
)
def test_passwords_are_masked_wherever_a_url_stands(text: str, hidden: str) -> None:
    assert masked(text) == hidden

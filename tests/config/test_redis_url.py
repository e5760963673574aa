"""Which Redis URLs are taken, and that no password of any of them is ever shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykiq.config import Config
from pykiq.config.redis_url import masked, problem
from pykiq.errors import ConfigError


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost:6379/3",
        "redis:///3",
        "rediss://user:p%40ss@cache.example:6380/0?ssl_cert_reqs=none",
        "redis://:pa@ss@host:6379/0",
        "redis://[::1]:6379/0",
        "unix:///run/redis.sock?db=2",
        "redis+sentinel://s1:26379,s2:26379/mymaster/2",
        "rediss+sentinel://user:pw@s1,s2:26380/mymaster",
    ],
)
def test_a_usable_url_is_taken_as_it_is(url: str) -> None:
    assert problem(url) is None
    assert Config.of(redis=url).redis == url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", "a URL like"),
        ("localhost:6379", "a URL like"),
        ("http://localhost", "a URL like"),
        ("redis://host:99999/0", "a port from 1 to 65535"),
        ("redis://host:port/0", "a port from 1 to 65535"),
        ("redis://host/zero", "a database number"),
        ("redis://user:pa/ss@host:6379/0", "written as %XX"),
        ("redis+sentinel://s1:26379", "the master's name"),
        ("redis+sentinel:///mymaster", "one or more sentinels"),
        ("unix://", "the path of a socket"),
    ],
)
def test_an_unusable_url_is_refused_with_what_was_expected(url: str, expected: str) -> None:
    assert expected in (problem(url) or "")
    with pytest.raises(ConfigError, match=r"`redis` is .*; expected"):
        Config.of(redis=url)


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
    ],
)
def test_passwords_are_masked_wherever_a_url_stands(text: str, hidden: str) -> None:
    assert masked(text) == hidden


@given(
    st.text(st.characters(exclude_categories=["C"]), min_size=1), st.sampled_from(["host:1/0", "host:x", "", "h/zero"])
)
def test_no_message_about_a_url_shows_its_password(password: str, rest: str) -> None:
    for url in (f"redis://user:s3cret{password}s3cret@{rest}", f"http://:s3cret{password}s3cret@{rest}", "s3cret"):
        try:
            message = repr(Config.of(redis=url))
        except ConfigError as error:
            message = str(error)
        assert "s3cret" not in message

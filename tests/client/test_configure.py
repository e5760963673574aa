"""pykiq.configure, and the default clients that follow it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import pykiq
from pykiq.client import configure, default
from pykiq.errors import ConfigError


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("REDIS_URL", "REDIS_PROVIDER", "PYKIQ_WIRE"):
        monkeypatch.delenv(name, raising=False)
    configure.forget()
    yield
    configure.forget()


def test_before_configure_the_environment_decides_at_the_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://cache:6379/3")
    assert configure.current().redis == "redis://cache:6379/3"


def test_keywords_go_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://cache:6379/3")
    monkeypatch.setenv("PYKIQ_WIRE", "7")
    config = pykiq.configure(redis="redis://mine:6379/1")
    assert (config.redis, config.wire) == ("redis://mine:6379/1", "7")
    assert configure.current() is config


def test_a_whole_config_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYKIQ_WIRE", "7")
    config = pykiq.Config.of(redis="redis://mine:6379/1")
    assert pykiq.configure(config) is config
    assert configure.current().wire == "auto"


def test_a_setting_that_does_not_exist_or_both_forms_at_once_are_refused() -> None:
    with pytest.raises(ConfigError, match="reddis"):
        pykiq.configure(reddis="redis://x:1/0")
    with pytest.raises(ConfigError, match="was given a Config and wire; expected one or the other"):
        pykiq.configure(pykiq.Config(), wire="8")
    with pytest.raises(ConfigError, match="expected a Config, or settings as keywords"):
        pykiq.configure("redis://x:1/0")  # type: ignore[arg-type]


def test_the_default_clients_are_made_once_and_anew_after_configure() -> None:
    pykiq.configure(redis="redis://one:6379/0")
    first, afirst = default.client(), default.async_client()
    assert default.client() is first
    assert default.async_client() is afirst
    pykiq.configure(redis="redis://two:6379/0")
    assert default.client() is not first
    assert default.client().config.redis == "redis://two:6379/0"
    assert default.async_client().config.redis == "redis://two:6379/0"

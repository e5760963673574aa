"""The Config of this program: what `pykiq.configure` sets and what pushes without a client of their own use."""

from __future__ import annotations

from typing import Any

from pykiq.config import Config
from pykiq.config.environment import read_environment
from pykiq.config.model import RULES
from pykiq.config.settings import checked
from pykiq.errors import ConfigError

_current: Config | None = None


def configure(config: Config | None = None, /, **settings: Any) -> Config:
    """Set the Config of this program and return it: a whole one, or the settings `Config.of` takes.

        pykiq.configure(redis="redis://cache:6379/3", wire="8")

    Settings that are not given come from the environment (`REDIS_URL`, `PYKIQ_*`), then from the defaults.
    Raises ConfigError for a name or a value that cannot be used.
    """
    global _current
    if config is None:
        config = _with_environment(settings)
    elif settings:
        raise ConfigError(f"configure() was given a Config and {', '.join(settings)}; expected one or the other")
    elif not isinstance(config, Config):
        raise ConfigError(f"configure() was given {config!r:.80}; expected a Config, or settings as keywords")
    _current = config
    return config


def current() -> Config:
    """What `configure` set; before that, what the environment says at the first call."""
    return _current if _current is not None else configure()


def forget() -> None:
    """As if `configure` had never been called. For tests."""
    global _current
    _current = None


def _with_environment(settings: dict[str, Any]) -> Config:
    found = {
        name: checked(RULES[name], given.value, given.source) for name, given in read_environment().settings.items()
    }
    if "capsules" in settings:
        found = {name: value for name, value in found.items() if name not in ("queues", "concurrency")}
    return Config.of(**(found | settings))

"""Precedence: command line > environment > file > default."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykiq.config import Config
from pykiq.config.environment import Given
from pykiq.config.load import Loaded, load, with_code
from pykiq.errors import ConfigError


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "sidekiq.yml").write_text(":timeout: 7\n:concurrency: 7\n:queues: [file]\n")
    return tmp_path


def flag(name: str, value: object) -> dict[str, Given]:
    return {name: Given(value, f"--{name}")}


def test_a_flag_wins_over_a_variable_over_the_file_over_the_default(directory: Path) -> None:
    variables = {"PYKIQ_TIMEOUT": "8"}
    assert load(flag("timeout", "9"), variables=variables, directory=directory).config.timeout == 9.0
    assert load(variables=variables, directory=directory).config.timeout == 8.0
    assert load(variables={}, directory=directory).config.timeout == 7.0
    assert load(variables={}, directory=directory / "config").config.timeout == 25.0


def test_rails_max_threads_yields_to_the_file_and_pykiq_concurrency_does_not(directory: Path) -> None:
    threads = {"RAILS_MAX_THREADS": "3"}
    assert load(variables=threads, directory=directory).config.concurrency == 7
    assert load(variables=threads, directory=directory / "config").config.concurrency == 3
    assert load(variables=threads | {"PYKIQ_CONCURRENCY": "4"}, directory=directory).config.concurrency == 4


def test_the_environment_flag_wins_over_every_variable(directory: Path) -> None:
    variables = {"APP_ENV": "a", "RAILS_ENV": "b", "RACK_ENV": "c"}
    found = load(flag("environment", "d"), variables=variables, directory=directory)
    assert found.config.environment == "d"
    for name in ("APP_ENV", "RAILS_ENV", "RACK_ENV"):
        assert load(variables=variables, directory=directory).config.environment == variables.pop(name)
    assert load(variables={}, directory=directory).config.environment == "development"


def test_queues_of_a_flag_or_a_variable_replace_those_of_the_file(directory: Path) -> None:
    assert load(variables={"PYKIQ_QUEUES": "a,2 b"}, directory=directory).config.queues == ("a", "b")
    assert load(flag("queues", [("c", 0)]), variables={}, directory=directory).config.queues == ("c",)


@pytest.mark.parametrize(
    ("flags", "variables", "message"),
    [
        (flag("timeout", "x"), {}, '--timeout is "x"; expected a number of seconds above 0'),
        ({}, {"PYKIQ_RAILS": "7"}, 'PYKIQ_RAILS is "7"; expected auto, 7.2 or 6.1'),
        ({}, {"PYKIQ_WIRE": "5"}, 'PYKIQ_WIRE is "5"; expected auto, 8, 7 or 6'),
        ({}, {"RAILS_MAX_THREADS": "x"}, 'RAILS_MAX_THREADS is "x"; expected a whole number from 1 to 10000'),
        ({}, {"REDIS_URL": "redis://:s3cret@host:x"}, "REDIS_URL is a URL redis://…; expected a host and a port"),
    ],
)
def test_a_refusal_names_where_the_value_came_from(
    tmp_path: Path, flags: dict[str, Given], variables: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load(flags, variables=variables, directory=tmp_path)
    assert str(refused.value).startswith(message)


def test_a_file_that_is_not_there_is_refused_with_the_nearest_one(directory: Path) -> None:
    with pytest.raises(
        ConfigError, match=r'^PYKIQ_CONFIG is "config/sidekik\.yml"; no such file; did you mean `sidekiq\.yml`\?$'
    ):
        load(variables={"PYKIQ_CONFIG": "config/sidekik.yml"}, directory=directory)
    with pytest.raises(ConfigError, match=r'^--config is "config", a directory; expected a file'):
        load(file=Given("config", "--config"), variables={}, directory=directory)


def test_what_the_program_configures_counts_where_nobody_else_says_otherwise() -> None:
    loaded = Loaded(Config.of(timeout=9), {"timeout": Given("9", "--timeout")})
    merged = with_code(loaded, Config.of(timeout=3, redis="redis://code", concurrency=2)).config
    assert (merged.timeout, merged.redis, merged.concurrency) == (9.0, "redis://code", 2)
    assert with_code(loaded, Config()) is loaded
    kept = Loaded(Config.of(concurrency=4), {"concurrency": Given("4", "--concurrency")})
    code = Config.of(concurrency=2, queues=["a"], capsules={"b": {"concurrency": 1}})
    assert [(c.name, c.concurrency, c.names) for c in with_code(kept, code).config.capsules] == [
        ("default", 4, ("a",)),
        ("b", 1, ("default",)),
    ]

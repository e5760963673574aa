"""The variables that are read, and those that are refused."""

from __future__ import annotations

import pytest

from pykiq.config.environment import VARIABLES, Given, read_environment
from pykiq.config.model import RULES
from pykiq.errors import ConfigError


def test_every_variable_sets_a_setting_there_is() -> None:
    assert set(VARIABLES.values()) <= set(RULES)
    assert all(name == f"PYKIQ_{setting.upper()}" for name, setting in VARIABLES.items())
    # What has variables of its own, or is too much for one.
    assert set(RULES) - set(VARIABLES.values()) == {"redis", "environment", "capsules", "extra"}


def test_settings_are_read_with_the_variable_they_came_from() -> None:
    settings = read_environment({"PYKIQ_TIMEOUT": "5", "REDIS_URL": "redis://a", "OTHER": "1"}).settings
    assert settings == {"timeout": Given("5", "PYKIQ_TIMEOUT"), "redis": Given("redis://a", "REDIS_URL")}


def test_an_empty_variable_is_not_set() -> None:
    found = read_environment(
        {"PYKIQ_TIMEOUT": "", "REDIS_URL": " ", "APP_ENV": "", "RAILS_ENV": "qa", "RAILS_MAX_THREADS": ""}
    )
    assert found.settings == {}
    assert found.fallbacks == {}
    assert found.section == Given("qa", "RAILS_ENV")


def test_redis_provider_names_the_variable_that_holds_the_url() -> None:
    found = read_environment({"REDIS_PROVIDER": "CACHE_URL", "CACHE_URL": "redis://b", "REDIS_URL": "redis://a"})
    assert found.settings["redis"] == Given("redis://b", "CACHE_URL")


def test_redis_provider_with_a_url_in_it_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigError, match=r"^REDIS_PROVIDER holds a URL; expected the name") as refused:
        read_environment({"REDIS_PROVIDER": "redis://:s3cret@host"})
    assert "s3cret" not in str(refused.value)


def test_redis_provider_naming_nothing_is_refused_with_the_nearest_variable() -> None:
    with pytest.raises(ConfigError, match=r"names CACHE_UR, which is not set; did you mean `CACHE_URL`\?"):
        read_environment({"REDIS_PROVIDER": "CACHE_UR", "CACHE_URL": "redis://b"})


@pytest.mark.parametrize(
    ("name", "meant"),
    [("PYKIQ_CONCURENCY", "`PYKIQ_CONCURRENCY`"), ("PYKIQ_REDIS_URL", "REDIS_URL"), ("PYKIQ_QUEUE", "`PYKIQ_QUEUES`")],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_one(name: str, meant: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_environment({name: "1"})
    assert str(refused.value).endswith(f"did you mean {meant}?")


def test_what_kubernetes_sets_for_a_service_called_pykiq_is_left_alone() -> None:
    service = ("PYKIQ_PORT", "PYKIQ_SERVICE_HOST", "PYKIQ_SERVICE_PORT", "PYKIQ_PORT_6379_TCP_ADDR")
    assert read_environment(dict.fromkeys(service, "tcp://10.0.0.1:6379")).settings == {}


def test_what_kubernetes_sets_for_a_service_named_as_a_setting_begins_is_left_alone() -> None:
    address = "tcp://10.0.0.5:9394"
    known = {
        "PYKIQ_METRICS_SERVICE_HOST": "10.0.0.5",
        "PYKIQ_METRICS_SERVICE_PORT": "9394",
        "PYKIQ_METRICS_SERVICE_PORT_HTTP": "9394",
        "PYKIQ_METRICS_PORT": address,
        "PYKIQ_METRICS_PORT_9394_TCP": address,
        "PYKIQ_METRICS_PORT_9394_TCP_PROTO": "tcp",
        "PYKIQ_METRICS_PORT_9394_TCP_PORT": "9394",
        "PYKIQ_METRICS_PORT_9394_TCP_ADDR": "10.0.0.5",
        "PYKIQ_CONFIG_PORT": "udp://10.0.0.6:53",
    }
    assert read_environment(known).settings == {}
    assert read_environment({**known, "PYKIQ_METRICS_PORT": "9394"}).settings["metrics_port"].value == "9394"


def test_a_carriage_return_at_the_end_of_any_variable_is_taken_away() -> None:
    known = dict.fromkeys((*VARIABLES, "REDIS_URL", "RAILS_ENV", "RAILS_MAX_THREADS", "PYKIQ_CONFIG"), "x\r")
    found = read_environment({**known, "REDIS_PROVIDER": "MY_REDIS\r\n", "MY_REDIS": "redis://r\r", "OTHER": "7\r"})
    assert {given.value for given in found.settings.values()} == {"x", "redis://r"}
    assert (found.section, found.file) == (("x", "RAILS_ENV"), ("x", "PYKIQ_CONFIG"))
    assert found.fallbacks["concurrency"].value == "x"
    assert found.variables["OTHER"] == "7"  # for the ERB of the file


def test_the_process_environment_is_read_at_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYKIQ_TAG", "now")
    assert read_environment().settings["tag"] == Given("now", "PYKIQ_TAG")


def test_the_variables_are_not_in_the_repr() -> None:
    assert "s3cret" not in repr(read_environment({"DATABASE_PASSWORD": "s3cret"}))

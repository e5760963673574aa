"""Config and Capsule out of keywords."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from pykiq.config import Capsule, Config
from pykiq.errors import ConfigError


def refusal(**settings: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        Config.of(**settings)
    message = str(refused.value)
    assert "\n" not in message
    return message


def test_defaults_are_one_capsule_of_ten_slots_on_the_queue_default() -> None:
    config = Config()
    assert config == Config.of()
    assert config.capsules == (Capsule("default", 10, (("default", 0),)),)
    assert (config.timeout, config.max_retries, config.wire, config.foreign) == (25.0, 25, "auto", "leave")


def test_queues_are_taken_as_text_pairs_and_names() -> None:
    config = Config.of(queues=["critical,6", ("low", 1), ["mid", "2"], "default"], concurrency=3)
    (capsule,) = config.capsules
    assert capsule.queues == (("critical", 6), ("low", 1), ("mid", 2), ("default", 0))
    assert capsule.mode == "weighted"
    assert config.concurrency == 3


def test_queues_are_taken_as_a_mapping_and_as_one_text() -> None:
    assert Config.of(queues={"a": 3, "b": 1}).capsules[0].queues == (("a", 3), ("b", 1))
    assert Config.of(queues="a,3 b").capsules[0].queues == (("a", 3), ("b", 0))


@pytest.mark.parametrize(
    ("queues", "mode", "tickets"),
    [
        (["a", "b", "a"], "strict", ("a", "b", "a")),
        (["a,1", "b,1"], "random", ("a", "b")),
        (["a,0", "b,2"], "weighted", ("a", "b", "b")),
        (["a,1", "b"], "weighted", ("a", "b")),
    ],
)
def test_the_mode_follows_from_the_weights(queues: list[str], mode: str, tickets: tuple[str, ...]) -> None:
    (capsule,) = Config.of(queues=queues).capsules
    assert (capsule.mode, capsule.tickets) == (mode, tickets)
    assert capsule.names == tuple(dict.fromkeys(tickets))


def test_capsules_stand_beside_the_default_one() -> None:
    config = Config.of(queues=["a"], capsules={"slow": {"concurrency": 2, "queues": ["pdf", "a"]}})
    assert [capsule.name for capsule in config.capsules] == ["default", "slow"]
    assert config.concurrency == 12
    assert config.queues == ("a", "pdf")


def test_a_capsule_called_default_replaces_the_default_one() -> None:
    config = Config.of(capsules=[Capsule("default", 2, (("only", 0),))])
    assert config.concurrency == 2
    assert "expected one or the other" in refusal(concurrency=3, capsules=[Capsule("default", 2)])


def test_an_unknown_setting_is_refused_with_the_nearest_name() -> None:
    assert refusal(concurency=3) == "`concurency` is not a setting; did you mean `concurrency`?"
    assert refusal(zzz=3) == "`zzz` is not a setting; Config lists them"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"timeout": "abc"}, '`timeout` is "abc"; expected a number of seconds above 0'),
        ({"timeout": float("nan")}, "`timeout` is nan; expected a number of seconds above 0"),
        ({"timeout": True}, "`timeout` is true; expected a number of seconds above 0"),
        ({"concurrency": 0}, "`concurrency` is 0; expected a whole number from 1 to 10000"),
        ({"concurrency": 2.5}, "`concurrency` is 2.5; expected a whole number from 1 to 10000"),
        ({"max_retries": -1}, "`max_retries` is -1; expected a whole number, 0 or more"),
        ({"foreign": "leaf"}, '`foreign` is "leaf"; expected leave, retry or dead; did you mean `leave`?'),
        ({"wire": 9}, "`wire` is 9; expected auto, 8, 7 or 6"),
        ({"rails": 5}, "`rails` is 5; expected auto, 7.2 or 6.1"),
        ({"metrics_port": 70000}, "`metrics_port` is 70000; expected a whole number from 0 to 65535"),
        ({"processes": 0}, "`processes` is 0; expected a whole number from 1 to 1000"),
        ({"max_rss": "1GB"}, '`max_rss` is "1GB"; expected a whole number, 1 or more'),
        ({"strict_args": "maybe"}, '`strict_args` is "maybe"; expected true or false'),
        ({"tag": "a\nb"}, '`tag` is "a\\nb"; expected text on one line'),
        ({"queues": []}, "`queues` is []; expected at least one queue"),
        ({"queues": [""]}, "`queues` is ['']; expected a queue with a name"),
        ({"queues": ["a,b"]}, '`queues` is "b"; expected a whole number from 0 to 10000, as the weight of queue `a`'),
        ({"queues": [("a", 1, 2)]}, "`queues` is [('a', 1, 2)]; expected a queue as name or [name, weight]"),
        (
            {"capsules": {"x": {"queues": ["a"]}}},
            "capsule `x` has no concurrency; give it a whole number, 1 or more, of its own",
        ),
        (
            {"capsules": {"x": {"concurency": 1}}},
            "capsule `x` has an unknown option `concurency`; did you mean `concurrency`?",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_what_was_expected(settings: dict[str, Any], message: str) -> None:
    assert refusal(**settings) == message


def test_two_capsules_of_one_name_are_refused() -> None:
    assert refusal(capsules=[Capsule("a"), Capsule("a")]).startswith("two capsules are called `a`")


def test_a_lease_shorter_than_a_sweep_is_refused() -> None:
    assert "outlives a sweep" in refusal(lease_ttl=3, sweep_interval=4)


def test_numbers_are_taken_as_text() -> None:
    config = Config.of(
        timeout="2.5", max_retries="3", wire=8, rails=6.1, strict_args="no", labels="a, b", metrics_port=""
    )
    assert (config.timeout, config.max_retries, config.wire, config.rails, config.strict_args) == (
        2.5,
        3,
        "8",
        "6.1",
        False,
    )
    assert (config.labels, config.metrics_port) == (("a", "b"), None)


def test_the_password_is_in_no_text_of_a_config() -> None:
    config = Config.of(redis="redis://user:s3cret@host:1/2", extra={"smtp_password": "s3cret"})
    assert "s3cret" not in repr(config) + str(config) + config.redis_shown
    assert config.redis_shown == "redis://user:***@host:1/2"


def test_a_config_is_frozen_hashable_and_travels_to_another_process() -> None:
    config = Config.of(extra={"a": [1]}, capsules={"x": {"concurrency": 1}})
    assert pickle.loads(pickle.dumps(config)) == config
    assert hash(config) == hash(Config.of(extra={"a": [1]}, capsules={"x": {"concurrency": 1}}))
    with pytest.raises(FrozenInstanceError):
        config.timeout = 3  # type: ignore[misc]

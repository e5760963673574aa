"""The server says what it is, and one that will not do is refused."""

from __future__ import annotations

from typing import Any

import pytest
import redis as redis_py

from pykiq.config import Config
from pykiq.errors import StoreError
from pykiq.store.server import Server, described, examine
from tests.logs import capture_logs


class Answers:
    """A server that gives one INFO."""

    def __init__(self, info: dict[str, Any]) -> None:
        self._info = info

    def info(self) -> dict[str, Any]:
        return self._info


def examined(**info: Any) -> Server:
    return examine(Answers(info), Config.of(redis="redis://:s3cret@cache"))  # type: ignore[arg-type]


def test_a_real_server_is_good_enough_and_says_what_it_is(redis: redis_py.Redis) -> None:
    server = examine(redis, Config())
    assert server.name in {"valkey", "redis"}
    assert server.speaks >= (6, 2)
    assert server.policy == "noeviction"


@pytest.mark.parametrize(
    ("info", "name", "version"),
    [
        ({"redis_version": "7.0.15"}, "redis", "7.0.15"),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, "valkey", "9.1.2"),
        ({"redis_version": "7.4.0", "dragonfly_version": "df-v1.31.0"}, "dragonfly", "1.31.0"),
        ({"redis_version": "255.255.255"}, "redis", "255.255.255"),
    ],
)
def test_every_kind_of_server_is_named_by_its_own_version(info: dict[str, Any], name: str, version: str) -> None:
    server = described(info)
    assert (server.name, server.version, server.is_cluster) == (name, version, False)


@pytest.mark.parametrize("version", ["6.0.16", "5.0.14", "2.8.0"])
def test_a_server_older_than_6_2_is_refused_without_the_password(version: str) -> None:
    with pytest.raises(StoreError) as refused:
        examined(redis_version=version)
    assert str(refused.value) == (
        f"Redis at redis://:***@cache is version {version}; expected 6.2 or later, for LMOVE and BLMOVE"
    )


@pytest.mark.parametrize("sign", [{"cluster_enabled": 1}, {"redis_mode": "cluster"}])
def test_a_cluster_is_refused(sign: dict[str, Any]) -> None:
    with pytest.raises(StoreError, match=r"is a cluster, where .*; give the URL of a single server or of Sentinels"):
        examined(redis_version="7.2.0", **sign)


def test_a_server_that_refuses_info_is_only_remarked_on() -> None:
    class Refuses:
        def info(self) -> dict[str, Any]:
            raise redis_py.ResponseError("NOPERM")

    with capture_logs() as lines:
        assert examine(Refuses(), Config()).version == "unknown"  # type: ignore[arg-type]
    assert lines[0]["event"] == "server_unknown"

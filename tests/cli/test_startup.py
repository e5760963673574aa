"""What is checked and said before the first job."""

from __future__ import annotations

from typing import Any

import pytest
import redis as redis_py
from structlog.testing import capture_logs

from pykiq.cli import waiting
from pykiq.cli.startup import (
    announce,
    announce_waiting,
    banner,
)
from pykiq.config import Config
from pykiq.store.server import Server
from pykiq.version import __version__


def announced(
    config: Config, policy: str | None = "noeviction", notes: tuple[str, ...] = (), **handlers: str
) -> list[Any]:
    server = Server("redis", "7.0", (7, 0), policy, is_cluster=False)
    with capture_logs() as lines:
        announce(config, server, handlers, file="config/x.yml", notes=notes)
    return list(lines)


def test_the_first_line_says_versions_and_where_redis_is() -> None:
    first = announced(Config.of(redis="redis://:s3cret@cache/1", concurrency=3))[0]
    assert (first["server"], first["redis"], first["concurrency"]) == ("redis 7.0", "redis://:***@cache/1", 3)
    assert first["config"] == "config/x.yml"


def test_each_capsule_is_named_with_its_queues_and_weights() -> None:
    config = Config.of(queues=["a,3", "b", "a,3"], capsules={"slow": {"concurrency": 1, "queues": ["pdf"]}})
    serving = [line for line in announced(config) if line["event"] == "serving"]
    assert [(line["capsule"], line["mode"], line["queues"]) for line in serving] == [
        ("default", "weighted", ["a,3", "b"]),
        ("slow", "strict", ["pdf"]),
    ]


def test_a_server_that_may_evict_is_warned_about() -> None:
    def warnings(policy: str | None) -> list[str]:
        return [line["maxmemory_policy"] for line in announced(Config(), policy) if line["log_level"] == "warning"]

    assert warnings("allkeys-lru") == ["allkeys-lru"]
    assert warnings("noeviction") == warnings(None) == []


def test_remarks_on_the_file_are_warnings() -> None:
    assert [line["note"] for line in announced(Config(), notes=("x:1: …",)) if "note" in line] == ["x:1: …"]


def test_handlers_are_named_and_those_of_a_queue_not_served_are_warned_about() -> None:
    _, _, handling, *warned = announced(Config.of(queues=["a"]), B="b", A="a", C="b")
    assert handling["handlers"] == {"A": "a", "B": "b", "C": "b"}
    assert [(line["queue"], line["handlers"]) for line in warned] == [("b", ["B", "C"])]


def test_on_a_terminal_a_banner_takes_the_place_of_the_first_lines_but_not_of_warnings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    config = Config.of(queues=["a,3", "b"], redis="redis://:s3cret@cache/1")
    lines = announced(config, "allkeys-lru", A="a")
    assert [line["event"] for line in lines] == ["jobs_may_be_evicted"]
    first, capsule, handlers = capsys.readouterr().err.splitlines()
    assert first.startswith(f"pykiq {__version__} · Python 3.")
    assert first.endswith(" · redis 7.0 at redis://:***@cache/1 · development · config/x.yml")
    assert capsule == "  default: 10 at a time from a,3 b (weighted)"
    assert handlers == "  handlers: A"
    assert len(announced(Config.of(log_format="json"), A="default")) == 3


def test_a_banner_stays_compact_with_many_handlers() -> None:
    server = Server("valkey", "9.0", (7, 2), None, is_cluster=False)
    lines = banner(Config(), server, {f"Job{n:02}": "default" for n in range(100)}, None)
    assert len(lines) == 3
    assert lines[-1].endswith("Job07 and 92 more")


def test_classes_that_wait_without_a_handler_are_counted_per_queue(redis: redis_py.Redis) -> None:
    redis.lpush("queue:a", *[b'{"class":"Known"}'] * 3, *[b'{"class":"Ruby"}'] * 2, b"not json", b'{"class":5}')
    wrapper = b'{"class":"Sidekiq::ActiveJob::Wrapper","wrapped":"%s"}'
    redis.lpush("queue:b", wrapper % b"Known", wrapper % b"Mailer", b'{"class":"::Known"}')
    with capture_logs() as lines:
        announce_waiting(redis, Config.of(queues=["a", "b", "none"], foreign="dead"), {"Known": "a"})
    assert [(line["queue"], line["classes"]) for line in lines] == [("a", {"Ruby": 2}), ("b", {"Mailer": 1})]
    assert all(line["next"] == "put into the dead set when claimed" for line in lines)


def test_a_long_queue_is_looked_at_from_both_ends_only(redis: redis_py.Redis) -> None:
    redis.rpush("queue:a", b'{"class":"Newest"}', *[b'{"class":"Middle"}'] * 1000, b'{"class":"Oldest"}')
    (found,) = waiting.without_handler(redis, ["a"], lambda name: False)
    assert found.classes == {"Middle": 2 * waiting.LOOKED_AT - 2, "Newest": 1, "Oldest": 1}


def test_huge_entries_end_the_look_early(redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_BUDGET", 10)
    redis.rpush("queue:a", *[b'{"class":"A"}'] * 300)
    (found,) = waiting.without_handler(redis, ["a"], lambda name: False)
    assert found.classes == {"A": 50}

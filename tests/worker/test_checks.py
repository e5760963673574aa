"""What is looked at before the first job, whichever way a worker starts."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import redis as redis_py

import pykiq
from pykiq.config import Config
from pykiq.errors import RegistrationError
from pykiq.jobs.handler import for_class
from pykiq.jobs.registry import Registry
from pykiq.store.server import Server
from pykiq.worker import checks
from tests.logs import capture_logs


def server(policy: str | None = "noeviction") -> Server:
    return Server("redis", "7.0", (7, 0), policy, is_cluster=False)


def warned(redis: redis_py.Redis, config: Config, policy: str | None = "noeviction", **handlers: str) -> list[Any]:
    with capture_logs() as lines:
        checks.warn(redis, config, server(policy), handlers)
    assert all(line["log_level"] == "warning" for line in lines)
    return list(lines)


@pytest.mark.parametrize(("policy", "count"), [("allkeys-lru", 1), ("volatile-ttl", 1), ("noeviction", 0), (None, 0)])
def test_a_server_that_may_evict_is_warned_about(redis: redis_py.Redis, policy: str | None, count: int) -> None:
    lines = warned(redis, Config(), policy)
    assert [(line["event"], line["maxmemory_policy"]) for line in lines] == [("jobs_may_be_evicted", policy)] * count


def test_handlers_of_a_queue_that_is_not_served_are_warned_about(redis: redis_py.Redis) -> None:
    lines = warned(redis, Config.of(queues=["a"]), B="b", A="a", C="b")
    assert [(line["event"], line["queue"], line["handlers"]) for line in lines] == [
        ("queue_not_served", "b", ["B", "C"])
    ]
    capsules = {"slow": {"concurrency": 1, "queues": ["b"]}}
    assert warned(redis, Config.of(queues=["a"], capsules=capsules), B="b", A="a") == []


def test_classes_that_wait_without_a_handler_are_counted_per_queue(redis: redis_py.Redis) -> None:
    redis.lpush("queue:a", *[b'{"class":"Known"}'] * 3, *[b'{"class":"Ruby"}'] * 2, b"not json", b'{"class":5}')
    wrapper = b'{"class":"Sidekiq::ActiveJob::Wrapper","wrapped":"%s"}'
    redis.lpush("queue:b", wrapper % b"Known", wrapper % b"Mailer", b'{"class":"::Known"}')
    lines = warned(redis, Config.of(queues=["a", "b", "none"], foreign="dead"), Known="a")
    assert [(line["queue"], line["classes"]) for line in lines] == [("a", {"Ruby": 2}), ("b", {"Mailer": 1})]
    assert all(line["next"] == "put into the dead set when claimed" for line in lines)


def test_every_handler_is_listed_with_its_queue() -> None:
    class Made(pykiq.Job):
        def perform(self) -> None: ...

    known = Registry()
    known.register(for_class(Made, "A::Made", {"retry": True, "queue": "low"}))
    assert checks.handled(known) == {"A::Made": "low"}


def test_a_class_that_cannot_be_made_any_more_stops_the_start() -> None:
    @dataclasses.dataclass
    class Later(pykiq.Job):
        url: str

        def perform(self) -> None: ...

    known = Registry()
    plain = for_class(type("Plain", (), {"perform": Later.perform}), "Later", {"retry": True, "queue": "low"})
    known.register(dataclasses.replace(plain, target=Later))
    with pytest.raises(RegistrationError, match="Later cannot be made without arguments"):
        checks.handled(known)


def test_what_only_a_worker_of_its_own_can_do_is_warned_about() -> None:
    with capture_logs() as lines:
        checks.warn_of_settings_of_run(Config.of(processes=2, max_rss=500))
        checks.warn_of_settings_of_run(Config())
    assert [(line["event"], line["setting"]) for line in lines] == [
        ("setting_without_meaning", "processes"),
        ("setting_without_meaning", "max_rss"),
    ]

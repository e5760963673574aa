"""What a job says of itself, odd payloads included."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
import redis as redis_py

from pykiq import Client
from pykiq.admin import JobRecord, Queue, RetrySet
from pykiq.wire.dialect import EIGHT, SIX
from pykiq.wire.failure import encode_backtrace
from tests.admin.conftest import failed, packed
from tests.captures import VERSIONS, read


def record(client: Client, redis: redis_py.Redis, raw: bytes) -> JobRecord:
    redis.lpush("queue:low", raw)
    (job,) = Queue("low", client)
    return job


def test_a_job_tells_what_is_in_its_payload(client: Client, redis: redis_py.Redis) -> None:
    lines = ["app.rb:1:in `perform'", "b.rb:2"]
    raw = failed(tags=["a"], bid="B1", retried_at=1_795_315_003_250, error_backtrace=encode_backtrace(lines, SIX))
    job = record(client, redis, raw)
    assert (job.jid, job.klass, job.args, job.queue, job.tags, job.bid) == (
        f"{1:024x}",
        "HardJob",
        [1],
        "low",
        ["a"],
        "B1",
    )
    assert (job.error_class, job.error_message, job.error_backtrace) == ("OrderError", "no stock", lines)
    assert job.created_at == datetime.fromtimestamp(1_795_315_000.5, UTC)
    assert job.failed_at == datetime.fromtimestamp(1_795_315_002.5, UTC)
    assert job.retried_at == datetime.fromtimestamp(1_795_315_003.25, UTC)
    assert job["retry_count"] == 0
    assert job["nothing"] is None
    assert "retry_count" in job
    assert "nothing" not in job
    with pytest.raises(TypeError):
        list(job)  # type: ignore[call-overload]
    assert repr(job) == f"<JobRecord HardJob {1:024x}>"


@pytest.mark.parametrize(
    "raw",
    [
        b"not json",
        b"[1]",
        b"{}",
        b'{"class":5,"jid":5,"queue":5,"args":"x","tags":"t","created_at":"then","error_backtrace":"?","wrapped":7}',
        b'{"class":"A","wrapped":"ActionMailer::MailDeliveryJob","args":[{"arguments":"no"}],"created_at":1e300}',
    ],
    ids=["no json", "no object", "empty", "wrong types", "odd mail"],
)
def test_an_odd_payload_raises_nothing(client: Client, redis: redis_py.Redis, raw: bytes) -> None:
    job = record(client, redis, raw)
    for name in (n for n in dir(type(job)) if not n.startswith("_") and isinstance(getattr(type(job), n), property)):
        getattr(job, name)
    assert job.created_at is None
    assert job.delete()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_job_of_activejob_is_known_by_what_it_wraps(version: str, client: Client, redis: redis_py.Redis) -> None:
    (raw,) = read(version, "aj_mailer").members("queue:default")
    job = record(client, redis, raw)
    assert job.display_class == "ShopMailer#welcome"
    assert job.args[0]["arguments"][3]["args"] == ["a", {"b": 2, "_aj_ruby2_keywords": ["b"]}]
    assert job.display_args == ["a", {"b": 2}]
    wrapped = read(version, "aj_hash_string_keys").members("queue:default")[0]
    redis.delete("queue:low")
    job = record(client, redis, wrapped)
    assert job.klass != job.display_class == job["wrapped"]
    assert job.args[0]["arguments"] == [{"a": 1, "_aj_symbol_keys": []}]
    assert job.display_args == [{"a": 1}]


@pytest.mark.parametrize(
    ("encoded", "shown"),
    [
        ({"_aj_globalid": "gid://shop/Order/1"}, "gid://shop/Order/1"),
        ([{"_aj_globalid": "gid://shop/Order/3"}], ["gid://shop/Order/3"]),
        ({"k": {"_aj_globalid": "gid://x/Y/2"}, "_aj_ruby2_keywords": ["k"]}, {"k": "gid://x/Y/2"}),
        ({"_aj_serialized": "ActiveJob::Serializers::SymbolSerializer", "value": "x"}, {"value": "x"}),
        ({"_aj_globalid": "gid://shop/Order/1", "z": 1}, {"z": 1}),
        ({"q": {"_aj_serialized": "T", "value": 5}, "_aj_hash_with_indifferent_access": True}, {"q": {"value": 5}}),
        (5, 5),
    ],
)
def test_arguments_of_an_active_job_are_shown_as_the_web_ui_shows_them(
    encoded: object, shown: object, client: Client, redis: redis_py.Redis
) -> None:
    """What Sidekiq 7.3.2 and 8.1.7 answered for these, when asked for `display_args`."""
    for name in ("Sidekiq::ActiveJob::Wrapper", "ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper"):
        for wrapped in ({"wrapped": "A"}, {}):
            data = {"job_class": "A", "arguments": [encoded]}
            job = record(client, redis, packed(**{"class": name, **wrapped}, args=[data]))
            assert (job.display_class, job.display_args) == ("A", [shown])
            redis.delete("queue:low")
    assert record(client, redis, packed(wrapped="W", args=[encoded])).display_args == [encoded]


def test_a_parameterised_mail_shows_its_params_too(client: Client, redis: redis_py.Redis) -> None:
    (raw,) = read("8.1.7", "aj_mailer_with_params").payloads()
    job = record(client, redis, raw)
    last = job.args[0]["arguments"][3]
    assert last["params"] == {"user": 7, "_aj_symbol_keys": ["user"]}
    assert job.display_args == [{"user": 7}, *last["args"]]


def test_a_secret_is_not_shown(client: Client, redis: redis_py.Redis) -> None:
    job = record(client, redis, packed(args=[1, "secret"], encrypt=True))
    assert job.display_args == [1, "[encrypted data]"]


@pytest.mark.parametrize("stamp", [EIGHT, SIX], ids=["8", "6"])
def test_latency_counts_from_when_it_was_enqueued(client: Client, redis: redis_py.Redis, stamp: Any) -> None:
    job = record(client, redis, packed(enqueued_at=stamp.stamp(time.time() - 100)))
    assert 100 <= job.latency < 160


def test_an_entry_of_a_set_knows_its_time_and_its_name_in_addresses(client: Client, redis: redis_py.Redis) -> None:
    redis.zadd("retry", {failed(): 1_795_315_411.1290071})
    (entry,) = RetrySet(client)
    assert entry.id == f"1795315411.129007-{1:024x}"
    assert entry.at == datetime.fromtimestamp(1_795_315_411.129007, UTC)
    assert entry.error

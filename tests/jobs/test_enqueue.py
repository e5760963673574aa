"""The verbs: what they push, from functions, classes and remote names, with and without asyncio."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis as redis_py

import pykiq
from pykiq.errors import ArgumentsError, PayloadError, SignatureMismatch, UnknownClass

pytestmark = pytest.mark.usefixtures("configured")


def declare_function() -> Any:
    @pykiq.job("Charge", queue="critical")
    def charge(order_id: int, note: str = "none", *, dry: bool = False) -> None: ...

    return charge


def declare_class() -> Any:
    class Charge(pykiq.Job, queue="critical"):
        def perform(self, order_id: int, note: str = "none", *, dry: bool = False) -> None: ...

    return Charge


def declare_remote() -> Any:
    return pykiq.remote("Charge", queue="critical")


@pytest.fixture(params=[declare_function, declare_class, declare_remote])
def charge(request: pytest.FixtureRequest) -> Any:
    declared: Callable[[], Any] = request.param
    return declared()


def queued(redis: redis_py.Redis, queue: str = "critical") -> list[dict[str, Any]]:
    return [json.loads(raw) for raw in reversed(redis.lrange(f"queue:{queue}", 0, -1))]


def scheduled(redis: redis_py.Redis) -> list[tuple[dict[str, Any], float]]:
    return [(json.loads(raw), score) for raw, score in redis.zrange("schedule", 0, -1, withscores=True)]


def test_perform_async_pushes_to_the_queue_of_the_class(charge: Any, redis: redis_py.Redis) -> None:
    jid = charge.perform_async(42)
    (job,) = queued(redis)
    assert (job["class"], job["args"], job["jid"], job["queue"], job["retry"]) == (
        "Charge",
        [42],
        jid,
        "critical",
        True,
    )
    assert list(job) == ["retry", "queue", "args", "class", "jid", "created_at", "enqueued_at"]
    assert redis.smembers("queues") == {b"critical"}


async def test_aperform_async_pushes_the_same(charge: Any, redis: redis_py.Redis) -> None:
    jid = await charge.aperform_async(42)
    (job,) = queued(redis)
    assert (job["args"], job["jid"]) == ([42], jid)
    assert list(job) == ["retry", "queue", "args", "class", "jid", "created_at", "enqueued_at"]


@pytest.mark.parametrize("interval", [300, 300.0, timedelta(minutes=5), "5m", "300s", " 4m 60 s", "0.5m270s"])
async def test_perform_in_schedules_an_interval_from_now(charge: Any, redis: redis_py.Redis, interval: Any) -> None:
    before = time.time()
    jids = {charge.perform_in(interval, 1), charge.perform_at(interval, 1), await charge.aperform_in(interval, 1)}
    found = scheduled(redis)
    assert {job["jid"] for job, _ in found} == jids
    assert all(before + 300 <= score <= time.time() + 300 for _, score in found)
    assert all(list(job) == ["retry", "queue", "class", "args", "jid", "created_at"] for job, _ in found)


@pytest.mark.parametrize(
    "moment",
    [
        *(4_000_000_000, 4_000_000_000.5, datetime(2096, 10, 2, 7, 6, 40, tzinfo=UTC)),
        *("2096-10-02T07:06:40Z", "2096-10-02T09:06:40+02:00"),
    ],
)
async def test_perform_at_schedules_a_moment(charge: Any, redis: redis_py.Redis, moment: Any) -> None:
    charge.perform_at(moment, 1)
    charge.perform_in(moment, 2)
    await charge.aperform_at(moment, 3)
    expected = 4_000_000_000.5 if moment == 4_000_000_000.5 else 4_000_000_000
    assert {score for _, score in scheduled(redis)} == {expected}
    assert len(scheduled(redis)) == 3


@pytest.mark.parametrize("when", [0, -5, 1_000_000_000, timedelta(seconds=-1), datetime(1999, 1, 1, tzinfo=UTC), "0s"])
def test_what_is_not_in_the_future_is_pushed_at_once(charge: Any, redis: redis_py.Redis, when: Any) -> None:
    charge.perform_in(when, 1)
    charge.perform_at(when, 2)
    assert [job["args"] for job in queued(redis)] == [[1], [2]]
    assert all("at" not in job for job in queued(redis))
    assert scheduled(redis) == []


def test_a_long_timedelta_is_an_interval_although_its_seconds_look_like_a_moment(
    charge: Any, redis: redis_py.Redis
) -> None:
    charge.perform_in(timedelta(days=20_000), 1)
    ((_, score),) = scheduled(redis)
    assert score > time.time() + 1_700_000_000


@pytest.mark.parametrize("verb", ["perform_in", "perform_at"])
@pytest.mark.parametrize(
    ("when", "message"),
    [
        (datetime(2030, 1, 1), "without a time zone.*pass value.astimezone"),  # noqa: DTZ001
        ("tomorrow", r"'tomorrow' \(str\); expected seconds"),
        ("300", r"'300' \(str\); expected seconds as a number, .*; did you mean 300\?"),
        ("5 minutes", r"'5 minutes' \(str\); expected .* such as '5m' or '1h30m'"),
        ("-5m", r"'-5m' \(str\); expected"),
        ("", r"'' \(str\); expected"),
        ("9" * 400 + "d", "which is too long; expected a length such as '5m'"),
        ("2030-01-01T00:00", "without a time zone"),
        (None, r"None \(NoneType\); expected seconds"),
        (True, r"True \(bool\); expected seconds"),
        (float("nan"), "nan; expected a finite number"),
        (float("inf"), "inf; expected a finite number"),
    ],
)
def test_a_time_that_is_none_is_refused(charge: Any, redis: redis_py.Redis, verb: str, when: Any, message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        getattr(charge, verb)(when, 1)
    assert redis.keys() == []


async def test_perform_bulk_pushes_one_job_per_list(charge: Any, redis: redis_py.Redis) -> None:
    jids = charge.perform_bulk([[1], [2]]) + await charge.aperform_bulk([n] for n in (3, 4))
    assert [(job["args"], job["jid"]) for job in queued(redis)] == list(zip([[1], [2], [3], [4]], jids, strict=True))


def test_perform_bulk_reads_at_as_perform_at_does_and_not_as_ruby_does(charge: Any, redis: redis_py.Redis) -> None:
    before = time.time()
    charge.perform_bulk([[1], [2]], at=60)
    charge.perform_bulk([[3], [4], [5]], at=[120, 4_000_000_000, timedelta(seconds=-1)])
    charge.perform_bulk([[6]], at="2096-10-02T07:06:41Z")
    *scores, last = [score for _, score in scheduled(redis)]
    assert last == 4_000_000_001
    assert before + 60 <= scores[0] == scores[1] <= time.time() + 60
    assert before + 120 <= scores[2] <= time.time() + 120
    assert scores[3:] == [4_000_000_000]
    assert [job["args"] for job in queued(redis)] == [[5]]


def test_perform_bulk_spreads_jobs_over_an_interval(charge: Any, redis: redis_py.Redis) -> None:
    before = time.time()
    charge.perform_bulk([[n] for n in range(100)], spread_interval=timedelta(hours=1))
    scores = [score for _, score in scheduled(redis)]
    assert before <= min(scores)
    assert max(scores) <= time.time() + 3600
    assert max(scores) - min(scores) > 1800


def test_set_changes_one_push_only(charge: Any, redis: redis_py.Redis) -> None:
    charge.set(queue="low", retry=False, custom=1).perform_async(1)
    charge.perform_async(2)
    (changed,) = queued(redis, "low")
    assert list(changed) == ["retry", "queue", "custom", "args", "class", "jid", "created_at", "enqueued_at"]
    assert (changed["retry"], changed["custom"]) == (False, 1)
    (unchanged,) = queued(redis)
    assert "custom" not in unchanged


def test_set_again_adds_to_what_was_set(charge: Any, redis: redis_py.Redis) -> None:
    charge.set(queue="low", tags=["a"]).set(tags=["b"], retry=0).perform_in(60, 1)
    ((job, _),) = scheduled(redis)
    assert (job["queue"], job["tags"], job["retry"]) == ("low", ["b"], 0)
    assert list(job)[-4:] == ["args", "class", "jid", "created_at"]


def test_set_wait_and_wait_until_schedule(charge: Any, redis: redis_py.Redis) -> None:
    before = time.time()
    charge.set(wait=timedelta(minutes=1)).perform_async(1)
    charge.set(wait_until=datetime(2096, 10, 2, 7, 6, 40, tzinfo=UTC)).perform_async(2)
    charge.set(wait=-1).perform_async(3)
    charge.set(wait="5m").perform_async(4)
    (_, first), (_, third), (_, second) = scheduled(redis)
    assert before + 60 <= first <= time.time() + 60
    assert before + 300 <= third <= time.time() + 300
    assert second == 4_000_000_000
    assert [job["args"] for job in queued(redis)] == [[3]]
    assert "wait" not in queued(redis)[0]


def test_set_refuses_a_wait_that_is_no_time(charge: Any) -> None:
    with pytest.raises(PayloadError, match="`wait` is 'soon'"):
        charge.set(wait="soon")


@pytest.mark.parametrize("declare", [declare_function, declare_class])
def test_keywords_become_positional_where_the_signature_is_known(declare: Any, redis: redis_py.Redis) -> None:
    charge = declare()
    charge.perform_async(order_id=1)
    charge.perform_async(note="x", order_id=2)
    charge.perform_async(3, note="y")
    assert [job["args"] for job in queued(redis)] == [[1, "none"], [2, "x"], [3, "y"]]


@pytest.mark.parametrize("declare", [declare_function, declare_class])
@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"order": 1}, "cannot take these arguments: .*order"),
        ({"order_id": 1, "dry": True}, "takes dry as keywords only"),
    ],
)
def test_keywords_that_no_job_could_carry_are_refused(declare: Any, keywords: Any, message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        declare().perform_async(**keywords)


@pytest.mark.parametrize("declare", [declare_function, declare_class])
@pytest.mark.parametrize("bulk", [list, iter])
async def test_arguments_that_the_handler_could_not_take_are_refused(
    declare: Any, bulk: Any, redis: redis_py.Redis
) -> None:
    charge = declare()
    with pytest.raises(SignatureMismatch, match=r"it was given 0 arguments, takes 1 to 2"):
        charge.perform_async()
    with pytest.raises(SignatureMismatch, match=r"it was given 3 arguments, takes 1 to 2"):
        charge.set(queue="low").perform_in(60, 1, "note", 3)
    with pytest.raises(SignatureMismatch):
        await charge.aperform_async()
    with pytest.raises(SignatureMismatch):
        charge.perform_bulk(bulk([[1], [1, "note"], []]))
    assert redis.keys() == []


def test_keywords_for_a_remote_class_are_refused() -> None:
    with pytest.raises(
        PayloadError, match="Charge was given the keyword 'order_id'; jobs have positional arguments only"
    ):
        declare_remote().perform_async(order_id=1)


def test_arguments_that_json_would_change_are_refused_with_their_path(charge: Any, redis: redis_py.Redis) -> None:
    with pytest.raises(ArgumentsError, match=r'`args\[1\]\["when"\]` is a datetime.datetime'):
        charge.perform_async(1, {"when": datetime.now(UTC)})
    assert redis.keys() == []


@pytest.mark.parametrize("bad", [float("nan"), object(), "\ud800"])
def test_without_strict_args_what_json_cannot_hold_is_still_refused_before_anything_is_written(
    charge: Any, redis: redis_py.Redis, redis_url: str, bad: Any
) -> None:
    pykiq.configure(redis=redis_url, wire="8", strict_args=False)
    with pytest.raises(PayloadError):
        charge.perform_async(bad)
    assert redis.keys() == []


def test_a_remote_class_cannot_run_here() -> None:
    with pytest.raises(UnknownClass, match=r"`Charge` is declared with remote\(\): it has no code here"):
        declare_remote().perform_inline(1)

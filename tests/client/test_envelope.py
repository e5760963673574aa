"""Pushing ActiveJobs: what `perform_later` was recorded writing, written by `perform_async`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import redis as redis_py

import pykiq
from pykiq import activejob as aj
from pykiq.client import configure
from pykiq.errors import ArgumentsError, PayloadError
from pykiq.wire.activejob import WRAPPER_OF_8, WRAPPERS
from pykiq.wire.exactjson import dumps, loads
from tests.captures import Capture, every

OK = pykiq.remote("AjOk", active_job=True)
QUEUED = pykiq.remote("AjQueue", active_job=True, queue="low", priority=10)
OPTIONS = pykiq.remote("AjOpts", active_job=True, retry=0, backtrace=2, tags=["aj"])
NAMESPACED = pykiq.remote("Deep::AjNs", active_job=True)
MAIL = pykiq.remote("ActionMailer::MailDeliveryJob", active_job=True)
PERSON = [aj.GlobalID.of("shop", "Person", id) for id in (7, "a/b c", 9)]
MONEY = [
    aj.Custom("MoneySerializer", {"cents": cents, "currency": currency})
    for cents, currency in ((500, "EUR"), (1, "USD"))
]
BIG = [{str(number): number} for number in range(1, 51)]


def all_later() -> None:
    OK.perform_bulk([[1]])
    OK.perform_bulk([[2]], at=1_999_987_200)
    NAMESPACED.perform_bulk([[3]])
    QUEUED.perform_bulk([[4]])


CASES: dict[str, Callable[[], object]] = {
    "aj_plain": lambda: OK.perform_async(1, "two", 3.5, None, True, [1, [2]]),
    "aj_no_args": lambda: OK.perform_async(),
    "aj_big_args": lambda: OK.perform_async(BIG),
    "aj_numbers": lambda: OK.perform_async(1e20, 123456789012345678901234567890, -0.0, 1.5e-7),
    "aj_unicode": lambda: OK.perform_async("ünïcödé 💥", {"ключ": aj.Symbol("значение")}),
    "aj_kwargs": lambda: OK.perform_async(1, a=2, b="x"),
    "aj_symbols": lambda: OK.perform_async(aj.Symbol("sym"), [aj.Symbol("a"), "b"], {"k": aj.Symbol("v")}),
    "aj_hash_symbol_keys": lambda: OK.perform_async({aj.Symbol("a"): 1, "b": 2}),
    "aj_hash_string_keys": lambda: OK.perform_async({"a": 1}),
    "aj_hash_empty": lambda: OK.perform_async({}),
    "aj_hash_indifferent": lambda: OK.perform_async(aj.IndifferentHash({"a": 1, "b": {"c": 2}})),
    "aj_nested_hashes": lambda: OK.perform_async(
        aj.symbol_keys({"a": aj.symbol_keys({"b": aj.symbol_keys({"c": [1, aj.symbol_keys({"d": aj.Symbol("e")})]})})})
        | {"s": {"t": 1}}
    ),
    "aj_times": lambda: OK.perform_async(
        datetime(2030, 1, 2, 3, 4, 5, 678_000, UTC),
        datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        datetime(2030, 7, 1, 12, tzinfo=ZoneInfo("Europe/Paris")),
        aj.DateTime(2030, 1, 2, 3, 4, 5, 500_000, timezone(timedelta(hours=-3))),
        date(2030, 1, 2),
    ),
    "aj_durations": lambda: OK.perform_async(
        *(aj.Duration.of(minutes=5), aj.Duration.of(months=1, days=2), aj.Duration.of(hours=1.5), timedelta(0))
    ),
    "aj_bigdecimal": lambda: OK.perform_async(Decimal("12345.678900"), Decimal("-1e-20")),
    "aj_bigdecimal_special": lambda: OK.perform_async(Decimal("NaN"), Decimal("Infinity"), Decimal(0)),
    "aj_module_class": lambda: OK.perform_async(aj.Module("String"), aj.Module("Kernel"), aj.Module("Deep::AjNs")),
    "aj_globalid": lambda: OK.perform_async(PERSON[0], [PERSON[1]], aj.symbol_keys({"p": PERSON[2]})),
    "aj_globalid_missing_record": lambda: OK.perform_async(aj.GlobalID.of("shop", "Person", 404)),
    "aj_custom_serializer": lambda: OK.perform_async(MONEY[0], [MONEY[1]]),
    "aj_range": lambda: OK.perform_async(
        *(aj.Range(1, 5), aj.Range(1, 5, exclude_end=True), aj.Range(1, None), aj.Range("a", "c")),
        aj.Range(date(2030, 1, 1), date(2030, 1, 31)),
    ),
    "aj_namespaced": lambda: NAMESPACED.perform_async(1),
    "aj_class_queue_priority": lambda: QUEUED.perform_async(1),
    "aj_sidekiq_options": lambda: OPTIONS.perform_async(1),
    "aj_set_queue_priority": lambda: OK.set(queue="low", priority=50).perform_async(1),
    "aj_set_wait": lambda: OK.set(wait=3600).perform_async(1),
    "aj_set_wait_until": lambda: OK.set(wait_until=2_000_000_000).perform_async(1),
    "aj_locale_timezone": lambda: OK.perform_async(1),
    "aj_mailer": lambda: MAIL.perform_async("ShopMailer", "welcome", "deliver_now", args=["a", aj.Keywords(b=2)]),
    "aj_mailer_with_params": lambda: MAIL.set(wait=60).perform_async(
        "ShopMailer", "welcome", "deliver_now", params=aj.symbol_keys({"user": 7}), args=["a"]
    ),
    "aj_perform_all_later": all_later,
    "aj_perform_later_returns": lambda: OK.perform_async(1),
}  # fmt: skip
NOT_FOR_6 = {"aj_range"}
BY_CHANCE = ("jid", "created_at", "enqueued_at")
BY_CHANCE_INSIDE = ("job_id", "enqueued_at", "scheduled_at", "locale", "timezone")


def replayable() -> list[Capture]:
    return [
        capture
        for capture in every("aj_*")
        if capture.name in CASES and not (capture.version[0] == "6" and capture.name in NOT_FOR_6)
    ]


def held(redis: redis_py.Redis) -> dict[str, list[bytes]]:
    keys = sorted(key.decode() for key in redis.keys("*") if key != b"queues")
    return {key: redis.zrange(key, 0, -1) if key == "schedule" else redis.lrange(key, 0, -1) for key in keys}


def without_chance(raw: bytes, shaped_as: bytes) -> bytes:
    """The bytes with the ids and times of `shaped_as` in their places, each of which must be of the same form."""
    job, other = loads(raw), loads(shaped_as)
    pairs = [(job, other, name) for name in BY_CHANCE] + [
        (job["args"][0], other["args"][0], n) for n in BY_CHANCE_INSIDE
    ]
    for mine, theirs, name in pairs:
        assert (name in mine) is (name in theirs), name
        if name in mine:
            if name not in ("locale", "timezone"):
                assert type(mine[name]) is type(theirs[name])
            if isinstance(mine[name], str) and "_at" in name:
                assert len(mine[name]) == len(theirs[name])
            mine[name] = theirs[name]
    return dumps(job)


@pytest.mark.parametrize("capture", replayable(), ids=str)
def test_a_push_is_what_rails_was_recorded_writing(capture: Capture, redis_url: str, redis: redis_py.Redis) -> None:
    pykiq.configure(redis=redis_url, wire=capture.version[0])
    try:
        CASES[capture.name]()
    finally:
        configure.forget()

    theirs = {key: capture.members(key) for key in capture.data["redis"] if key.startswith(("queue:", "schedule"))}
    if capture.data["redis"].get("retry"):  # it was run there, and failed
        theirs = {"queue:default": [capture.payloads()[0]]}
    mine = held(redis)
    assert list(mine) == sorted(theirs)
    for key, entries in theirs.items():
        if capture.name == "aj_perform_all_later":
            entries = sorted(entries, key=lambda raw: loads(raw)["wrapped"])
            mine[key].sort(key=lambda raw: loads(raw)["wrapped"])
        assert [without_chance(raw, other) for raw, other in zip(mine[key], entries, strict=True)] == [
            dumps(loads(raw)) for raw in entries
        ]


def only(redis: redis_py.Redis) -> dict[str, Any]:
    ((raw,),) = held(redis).values()
    job: dict[str, Any] = json.loads(raw)
    return job


@pytest.fixture(autouse=True)
def _configured(redis_url: str) -> Any:
    yield pykiq.configure(redis=redis_url, wire="7")
    configure.forget()


def test_every_job_of_a_bulk_has_an_id_of_its_own_and_the_moment_it_is_due(redis: redis_py.Redis) -> None:
    due = time.time() + 60
    jids = OK.perform_bulk(([number, aj.Keywords(n=number)] for number in range(3)), at=due)
    jobs = [json.loads(raw) for raw in redis.zrange("schedule", 0, -1)]
    assert sorted(job["jid"] for job in jobs) == sorted(jid for jid in jids if jid)
    assert len({job["args"][0]["job_id"] for job in jobs}) == 3
    assert {job["args"][0]["scheduled_at"] for job in jobs} == {
        datetime.fromtimestamp(int(due), UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{round(due * 1e9) % 10**9:09}Z"
    }
    assert sorted(job["args"][0]["arguments"][1]["n"] for job in jobs) == [0, 1, 2]


@pytest.mark.parametrize(("rails", "decimal"), [("6.1", "1.5"), ("7.2", dict)])
def test_the_setting_says_whose_job_data_is_written(
    redis: redis_py.Redis, redis_url: str, rails: str, decimal: Any
) -> None:
    configure.forget()
    pykiq.configure(redis=redis_url, wire="8", rails=rails)
    OK.perform_async(Decimal("1.5"))
    OK.perform_bulk([[Decimal("1.5")]])
    for raw in held(redis)["queue:default"]:
        job = json.loads(raw)
        data = job["args"][0]
        assert (job["class"], isinstance(job["created_at"], int)) == (WRAPPER_OF_8, True)
        assert ("scheduled_at" in data) is ("." in data["enqueued_at"]) is (rails == "7.2")
        assert data["arguments"][0] == decimal or type(data["arguments"][0]) is decimal


def test_queue_as_decides_by_the_arguments_unless_the_push_names_a_queue(redis: redis_py.Redis) -> None:
    routed = pykiq.remote(
        "Routed", active_job=True, queue_as=lambda size, *, fast=False: "fast" if fast else f"q{size}"
    )
    routed.perform_async(1)
    routed.perform_async(2, fast=True)
    routed.set(queue="mine").perform_async(3)
    routed.perform_bulk([[4], [5, aj.Keywords(fast=True)]])
    inside = lambda job: (job["queue"], job["args"][0]["queue_name"], job["args"][0]["arguments"][0])  # noqa: E731
    told = {key: [inside(json.loads(raw)) for raw in raws] for key, raws in held(redis).items()}
    assert told == {
        "queue:fast": [("fast", "fast", 5), ("fast", "fast", 2)],
        "queue:mine": [("mine", "mine", 3)],
        "queue:q1": [("q1", "q1", 1)],
        "queue:q4": [("q4", "q4", 4)],
    }


def test_a_queue_as_that_names_no_queue_is_refused(redis: redis_py.Redis) -> None:
    with pytest.raises(PayloadError, match="queue_as returned None; expected the name of a queue"):
        pykiq.remote("Routed", active_job=True, queue_as=lambda: None).perform_async()
    assert held(redis) == {}


def test_what_cannot_be_written_is_named_by_its_place_among_the_callers_arguments(redis: redis_py.Redis) -> None:
    with pytest.raises(ArgumentsError, match=r'`args\[1\]\["a"\]\[0\]` is nan'):
        OK.perform_async(1, {"a": [float("nan")]})
    with pytest.raises(ArgumentsError, match=r'`args\[1\]\["when"\]` is an object'):
        OK.perform_async(1, when=object())
    with pytest.raises(ArgumentsError, match=r"job 1 of the bulk \(counted from 0\): `args\[0\]` is an object"):
        OK.perform_bulk([[1], [object()]])
    assert held(redis) == {}


def test_a_declared_class_is_wrapped_by_the_clients_own_push_too(redis: redis_py.Redis) -> None:
    with pykiq.Client() as client:
        client.push({"class": OK, "args": [aj.Symbol("a")], "queue": "other"})
    job = only(redis)
    assert (job["class"] in WRAPPERS, job["wrapped"], job["queue"]) == (True, "AjOk", "other")
    assert job["args"][0]["queue_name"] == "other"


def test_a_locale_that_is_carried_is_the_jobs(redis: redis_py.Redis) -> None:
    with pykiq.carry(locale="fr"):
        OK.perform_async()
    assert only(redis)["args"][0]["locale"] == "fr"


async def test_asyncio_writes_the_same(redis: redis_py.Redis) -> None:
    await OK.aperform_async(1, a=aj.Symbol("x"))
    assert only(redis)["args"][0]["arguments"][1]["_aj_ruby2_keywords"] == ["a"]

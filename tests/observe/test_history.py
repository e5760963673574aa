"""Executions by class and minute: the keys are those of the captures `metrics` of 7.3.2 and 8.1.7."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import redis as redis_py

from pykiq.observe import history
from pykiq.observe.history import History, generations
from pykiq.observe.observer import by_kind
from pykiq.records import Acknowledge, Claimed, Fate, Outcome, Settled, Word
from pykiq.store.fleet import Fleet

NOW = datetime(2026, 11, 22, 2, 57, 30, tzinfo=UTC).timestamp()


def ran(name: str, seconds: float, word: Word = Word.DONE, fate: Fate | None = None) -> Settled:
    outcome = Outcome(Claimed("default", b"{}", NOW), word, Acknowledge(), name, "x", NOW, seconds)
    return Settled(outcome, fate or (Fate.DONE if word is Word.DONE else Fate.RETRY))


def counted(*settled: Settled) -> History:
    made = History()
    made.counted(by_kind(settled))
    return made


def test_the_keys_are_those_ruby_wrote_for_the_same_jobs(redis: redis_py.Redis) -> None:
    done = counted(
        *(ran("SleepJob", seconds) for seconds in (0.0001, 0.0002, 0.022, 0.05, 0.2, 1.2)),
        ran("FailJob", 0.001, Word.FAILED),
    )
    done.flush(redis, [7, 8], NOW)
    assert set(map(bytes.decode, redis.keys())) == {
        *("j|20261122|2:57", "SleepJob-22-02:57"),
        *("j|261122|2:57", "j|261122|2:5", "h|SleepJob-22-2:57"),
    }
    fields = {b"SleepJob|ms": b"1472", b"SleepJob|p": b"6", b"FailJob|f": b"1", b"FailJob|p": b"1"}
    for key, ttl in (("j|20261122|2:57", 28800), ("j|261122|2:57", 28800), ("j|261122|2:5", 259200)):
        assert redis.hgetall(key) == fields
        assert ttl - 5 < redis.ttl(key) <= ttl
    for key in ("SleepJob-22-02:57", "h|SleepJob-22-2:57"):
        assert redis.get(key) == bytes.fromhex("0002 0001 0000 0001 0000 0000 0001 0000 0000 0000 0000 0001")
        assert 28795 < redis.ttl(key) <= 28800


def test_counts_add_up_and_the_histogram_stops_at_its_top(redis: redis_py.Redis) -> None:
    done = counted(ran("Job", 0.001))
    done.flush(redis, [8], NOW)
    done.counted(by_kind([ran("Job", 0.001)] * 70_000))
    done.flush(redis, [8], NOW + 5)
    done.flush(redis, [8], NOW + 6)
    assert redis.hget("j|261122|2:57", "Job|p") == b"70001"
    assert redis.get("h|Job-22-2:57") == b"\xff\xff"


@pytest.mark.system
def test_what_redis_did_not_take_is_part_of_the_next_write(redis: redis_py.Redis) -> None:
    done = counted(ran("Job", 0.5))
    with redis_py.Redis(port=1) as nobody, pytest.raises(redis_py.RedisError):
        done.flush(nobody, [8], NOW)
    done.counted(by_kind([ran("Job", 0.5), ran("Job", 1.0, Word.FAILED)]))
    done.flush(redis, [8], NOW)
    assert redis.hgetall("j|261122|2:57") == {b"Job|p": b"3", b"Job|f": b"1", b"Job|ms": b"1000"}


@pytest.mark.parametrize(
    ("settled", "fields"),
    [
        (ran("Job", 0.5, Word.INTERRUPTED, Fate.REQUEUED), {b"Job|p": b"1", b"Job|f": b"1"}),
        (ran("Job", 0.5, Word.SNOOZED, Fate.SNOOZED), {b"Job|p": b"1", b"Job|ms": b"500"}),
        (ran("Job", 0.0, Word.EXPIRED, Fate.EXPIRED), {}),
        (ran("Job", 0.5, Word.DONE, Fate.TAKEN_OVER), {}),
        (ran("Job", 0.0, Word.FOREIGN, Fate.HANDED_BACK), {}),
        (ran("", 0.5), {}),
        (ran("Job|p", 0.5), {}),
        (ran("J" * 201, 0.5), {}),
    ],
    ids=["interrupted", "snoozed", "expired", "taken-over", "foreign", "nameless", "bar-in-name", "long-name"],
)
def test_what_counts_how(redis: redis_py.Redis, settled: Settled, fields: dict[bytes, bytes]) -> None:
    counted(settled).flush(redis, [8], NOW)
    assert redis.hgetall("j|261122|2:57") == fields


def test_names_are_bounded_between_two_writes(monkeypatch: pytest.MonkeyPatch, redis: redis_py.Redis) -> None:
    monkeypatch.setattr(history, "MOST_CLASSES", 2)
    done = counted(*(ran(f"Job{number}", 0.5) for number in range(5)))
    done.flush(redis, [8], NOW)
    assert redis.hlen("j|261122|2:57") == 2 * 2


@pytest.mark.parametrize(
    ("setting", "versions", "written"),
    [
        ("auto", set(), [7, 8]),
        ("auto", {None}, []),
        ("auto", {"7.3.2"}, [7]),
        ("auto", {"8.1.7", None}, [8]),
        ("auto", {"7.3.2", "8.1.7"}, [7, 8]),
        ("6", {"8.1.7"}, []),
        ("8", {"7.3.2"}, [8]),
    ],
    ids=["nobody", "6", "7", "6-and-8", "7-and-8", "wire-6", "wire-8"],
)
def test_every_generation_with_a_page_gets_its_keys(setting: str, versions: set[Any], written: list[int]) -> None:
    assert generations(setting, Fleet(frozenset(versions))) == written


def test_nothing_is_sent_when_nothing_ran_and_nothing_kept_when_nobody_reads(redis: redis_py.Redis) -> None:
    counted().flush(redis, [7, 8], NOW)
    done = counted(ran("Job", 0.5))
    done.flush(redis, [], NOW)
    done.flush(redis, [8], NOW)
    assert redis.keys() == []

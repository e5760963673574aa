from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from hypothesis import given
from hypothesis import strategies as st

from pykiq.config import Capsule, Config
from pykiq.observe import heartbeat
from pykiq.observe.counters import Counters, Counts
from pykiq.observe.heartbeat import Beat, Running
from pykiq.observe.memory import rss_kb
from pykiq.store.connection import connect
from tests.logs import capture_logs
from tests.servers import free_port

CAPTURES = Path(__file__).parents[2] / "compat_fixtures"
VERSIONS = ("6.4.1", "7.3.2", "8.1.7")
NOW = 1_795_316_182.9309964  # 2026-11-22, 02:56 UTC
IDENTITY = "app-1:4711:3de8b8d19ea4"

# What the captured process was started with, in pykiq's settings; the tag is taken from the capture.
SETTINGS: dict[str, dict[str, Any]] = {
    "heartbeat_idle": {"queues": ["critical,3", "default,2", "low,1"], "concurrency": 5},
    "heartbeat_idle_random": {"queues": ["a,1", "b,1"], "concurrency": 2},
    "heartbeat_labels_yml": {"queues": ["critical", ["default", 2]], "concurrency": 4, "labels": ["west", "gpu"]},
    "heartbeat_busy": {"queues": ["default", "low"], "concurrency": 3},
    "heartbeat_capsules": {
        "capsules": (
            Capsule("default", 3, (("default", 0),)),
            Capsule("single", 1, (("one", 0),)),
            Capsule("weighted", 2, (("high", 3), ("low", 1))),
        )
    },
    "heartbeat_embedded": {"queues": ["critical", "default"], "concurrency": 2},
}


def capture(version: str, case: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((CAPTURES / f"sidekiq-{version}" / f"{case}.json").read_text())
    return loaded


def process_hash(captured: dict[str, Any]) -> dict[str, str]:
    (found,) = [key["value"] for key in captured["redis"].values() if key["type"] == "hash" and "info" in key["value"]]
    return dict(found)


def captured_infos() -> Iterator[tuple[str, str]]:
    for version, case in itertools.product(VERSIONS, SETTINGS):
        if version != "6.4.1" or case not in {"heartbeat_capsules", "heartbeat_embedded"}:  # 6.4 has neither
            yield version, case


def beat(**changes: Any) -> Beat:
    settings: dict[str, Any] = {"info": b'{"pykiq":"0"}', "pid": 4711, "concurrency": 3, "clock": lambda: NOW}
    return Beat(IDENTITY, **(settings | changes))


def send(beat: Beat, redis: redis_py.Redis, **changes: Any) -> heartbeat.Beaten:
    settings: dict[str, Any] = {"work": [], "busy": 0, "quiet": False, "counters": Counters(), "legacy_workers": False}
    return beat.send(redis, **(settings | changes))


def counted(processed: int, failed: int) -> Counters:
    counters = Counters()
    counters.give_back(Counts(processed, failed))
    return counters


# What a process says about itself


@pytest.mark.parametrize(("version", "case"), list(captured_infos()))
def test_info_has_every_field_ruby_writes_with_the_same_value(version: str, case: str) -> None:
    ruby = json.loads(process_hash(capture(version, case))["info"])
    ours = json.loads(
        heartbeat.process_info(
            Config.of(tag=ruby["tag"], **SETTINGS[case]),
            host=ruby["hostname"],
            pid=ruby["pid"],
            identity=ruby["identity"],
            started_at=ruby["started_at"],
            embedded=ruby.get("embedded", False),
            version="1.2.3",
        )
    )
    ruby.pop("version", None)
    assert {name: ours[name] for name in ruby} == ruby
    assert [type(ours[name]) for name in ruby] == [type(ruby[name]) for name in ruby]


def test_info_is_the_superset_that_all_three_web_uis_accept() -> None:
    config = Config.of(queues=["critical,6", "low", "low"], concurrency=7, tag="shop", labels=["gpu"])
    info = json.loads(heartbeat.process_info(config, host="h", pid=1, identity="h:1:ab", started_at=5, version="1.2.3"))
    assert info == {
        "hostname": "h",
        "started_at": 5.0,
        "pid": 1,
        "tag": "shop",
        "concurrency": 7,
        "capsules": {"default": {"concurrency": 7, "mode": "weighted", "weights": {"critical": 6, "low": 0}}},
        "queues": ["critical", "low"],
        "weights": [{"critical": 6, "low": 0}],
        "labels": ["gpu"],
        "identity": "h:1:ab",
        "version": "pykiq-1.2.3",
        "embedded": False,
        "pykiq": "1.2.3",
    }


def test_a_start_at_a_whole_second_is_still_a_float() -> None:
    info = heartbeat.process_info(Config.of(), host="h", pid=1, identity="h:1:ab", started_at=5)
    assert b'"started_at":5.0,' in info


def test_a_host_with_broken_bytes_does_not_stop_the_heartbeat() -> None:
    """As `DYNO` may have; the settings refuse such a tag or label."""
    info = heartbeat.process_info(Config.of(), host="web \udcff", pid=1, identity="h:1:ab", started_at=5.0)
    assert json.loads(info)["hostname"] == "web ?"


def test_an_identity_is_host_pid_and_nonce() -> None:
    assert heartbeat.identity("app-1", 25128, "3de8b8d19ea4") == "app-1:25128:3de8b8d19ea4"


def test_a_dyno_names_the_host_and_an_empty_one_does_not() -> None:
    assert heartbeat.hostname({"DYNO": "worker.1"}) == "worker.1"
    assert heartbeat.hostname({"DYNO": "worker.1\r"}) == "worker.1"
    assert heartbeat.hostname({"DYNO": "caf\udce9"}) == "caf?"  # it is part of keys
    assert heartbeat.hostname({"DYNO": ""}) == heartbeat.hostname({}) != ""


@given(st.integers(0, 2**64), st.integers(1, 2**22))
def test_a_thread_id_is_the_number_xor_pid_in_base_36(number: int, pid: int) -> None:
    name = heartbeat.thread_id(number, pid)
    assert int(name, 36) == number ^ pid
    assert re.fullmatch("[0-9a-z]+", name)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_work_record_is_byte_for_byte_what_ruby_writes(version: str) -> None:
    redis = capture(version, "heartbeat_busy")["redis"]
    (work,) = [key["value"] for name, key in redis.items() if name.endswith((":work", ":workers"))]
    assert len(work) == 2
    for text in work.values():
        ruby = json.loads(text)
        running = Running(1, ruby["queue"], ruby["payload"].encode(), ruby["run_at"] + 0.9)
        assert heartbeat.work_record(running) == text.encode()


def test_bytes_that_are_no_utf8_are_shown_with_replacement_characters() -> None:
    record = json.loads(heartbeat.work_record(Running(1, "q", b'{"class":"A\xff"}', 7.5)))
    assert record == {"queue": "q", "payload": '{"class":"A\ufffd"}', "run_at": 7}


def test_memory_is_read_in_kilobytes(tmp_path: Path) -> None:
    assert 1_000 < rss_kb() < 10_000_000
    assert 1_000 < rss_kb(tmp_path / "no-proc-here") < 10_000_000


# What a beat leaves in Redis


@pytest.mark.parametrize("version", VERSIONS)
def test_the_process_hash_has_every_field_of_rubys_in_the_same_form(version: str, redis: redis_py.Redis) -> None:
    captured = capture(version, "heartbeat_busy")
    ruby = process_hash(captured)
    work = [Running(1, "default", b"{}", NOW), Running(2, "low", b"{}", NOW)]
    send(beat(info=ruby["info"].encode()), redis, work=work, busy=2)
    ours = {name.decode(): value.decode() for name, value in redis.hgetall(IDENTITY).items()}
    assert set(ours) == {"info", "concurrency", "busy", "beat", "rtt_us", "quiet", "rss"}
    for field in ("info", "concurrency", "busy", "quiet"):
        assert ours[field] == ruby.get(field, "3"), field  # 6.4 and 7.3 have no `concurrency`
    for field, form in (("beat", r"\d{10}\.\d+"), ("rtt_us", r"\d+"), ("rss", r"\d+")):
        assert re.fullmatch(form, ruby[field]), field
        assert re.fullmatch(form, ours[field]), field
    assert float(ours["beat"]) == NOW
    assert redis.smembers("processes") == {IDENTITY.encode()}
    assert redis.ttl(IDENTITY) == captured["redis"][json.loads(ruby["info"])["identity"]]["ttl"] == 60


def test_quiet_is_spelled_as_ruby_spells_it(redis: redis_py.Redis) -> None:
    for version in VERSIONS:
        assert process_hash(capture(version, "heartbeat_quiet_via_signal_key"))["quiet"] == "true"
    send(beat(), redis, quiet=True)
    assert redis.hget(IDENTITY, "quiet") == b"true"


@pytest.mark.parametrize("legacy", [False, True])
def test_running_jobs_are_listed_and_gone_with_the_next_beat(legacy: bool, redis: redis_py.Redis) -> None:
    one, two = Running(1, "default", b'{"class":"A"}', 5.0), Running(2, "low", b'{"class":"B"}', 6.0)
    send(beat(), redis, work=[one, two], busy=2, legacy_workers=legacy)
    listed = {
        heartbeat.thread_id(running.thread, 4711).encode(): heartbeat.work_record(running) for running in (one, two)
    }
    assert len(listed) == 2
    assert redis.hgetall(f"{IDENTITY}:work") == listed
    assert redis.ttl(f"{IDENTITY}:work") == 60
    assert redis.hgetall(f"{IDENTITY}:workers") == (listed if legacy else {})
    assert redis.ttl(f"{IDENTITY}:workers") == (60 if legacy else -2)
    send(beat(), redis, legacy_workers=legacy)
    assert redis.exists(f"{IDENTITY}:work", f"{IDENTITY}:workers") == 0


def test_the_old_work_hash_goes_with_the_last_ruby_that_reads_it(redis: redis_py.Redis) -> None:
    running = [Running(1, "default", b"{}", 5.0)]
    send(beat(), redis, work=running, busy=1, legacy_workers=True)
    send(beat(), redis, work=running, busy=1, legacy_workers=False)
    assert redis.exists(f"{IDENTITY}:work") == 1
    assert redis.exists(f"{IDENTITY}:workers") == 0


def show(beat: Beat, redis: redis_py.Redis, **changes: Any) -> None:
    settings: dict[str, Any] = {"begun": [], "ended": [], "busy": 0, "quiet": False, "legacy_workers": False}
    beat.show(redis, **(settings | changes))


@pytest.mark.parametrize("legacy", [False, True])
def test_between_two_beats_jobs_come_and_go_one_by_one(legacy: bool, redis: redis_py.Redis) -> None:
    sends, names = beat(), ["work", *(["workers"] if legacy else [])]
    first, second = (Running(number, "low", b'{"n":%d}' % number, NOW) for number in (1, 2))
    send(sends, redis, work=[first], busy=1, legacy_workers=legacy)
    show(sends, redis, begun=[second], busy=2, legacy_workers=legacy)
    for name in names:
        assert set(redis.hkeys(f"{IDENTITY}:{name}")) == {heartbeat.thread_id(n, 4711).encode() for n in (1, 2)}
        assert 50 < redis.ttl(f"{IDENTITY}:{name}") <= 60
    assert redis.hget(IDENTITY, "busy") == b"2"
    show(sends, redis, ended=[1], busy=1, legacy_workers=legacy)
    for name in names:
        assert redis.hvals(f"{IDENTITY}:{name}") == [heartbeat.work_record(second)]
    show(sends, redis, ended=[2], legacy_workers=legacy)
    assert not redis.exists(*(f"{IDENTITY}:{name}" for name in ("work", "workers")))
    assert redis.hmget(IDENTITY, "busy", "info") == [b"0", b'{"pykiq":"0"}']


def test_what_is_told_between_two_beats_neither_takes_signals_nor_counts_nor_hides_an_outage(
    redis: redis_py.Redis,
) -> None:
    sends, counters = beat(), counted(3, 1)
    assert send(sends, redis).first
    redis.lpush(f"{IDENTITY}-signals", "TSTP")
    redis.delete(IDENTITY)
    show(sends, redis, begun=[Running(1, "low", b"{}", NOW)], busy=1)
    assert redis.exists(IDENTITY)
    assert not redis.exists("stat:processed")
    beaten = send(sends, redis, counters=counters)
    assert (beaten.first, beaten.signals) == (True, ["TSTP"])
    assert not send(sends, redis).first


def test_the_first_beat_says_so_and_so_does_one_after_an_outage(redis: redis_py.Redis) -> None:
    assert send(beat(), redis).first
    assert not send(beat(), redis).first
    redis.delete(IDENTITY)
    assert send(beat(), redis).first


def test_signals_come_one_per_beat_in_the_order_they_were_sent(redis: redis_py.Redis) -> None:
    redis.lpush(f"{IDENTITY}-signals", "TTIN")
    redis.lpush(f"{IDENTITY}-signals", "TSTP")
    assert send(beat(), redis).signals == ["TTIN"]
    assert send(beat(), redis).signals == ["TSTP"]
    assert send(beat(), redis).signals == []


def test_the_round_trip_is_measured_in_microseconds(redis: redis_py.Redis) -> None:
    ticks = iter([10.0, 10.000183])
    assert send(beat(timer=lambda: next(ticks)), redis).rtt_us == 183
    assert redis.hget(IDENTITY, "rtt_us") == b"183"


# Counters


@pytest.mark.parametrize("version", VERSIONS)
def test_counts_land_under_the_keys_of_rubys(version: str, redis: redis_py.Redis) -> None:
    ruby = {name: key for name, key in capture(version, "stats")["redis"].items() if name.startswith("stat:")}
    assert {name.split(":", 2)[-1] for name in ruby} >= {"2026-11-22"}
    send(beat(), redis, counters=counted(5, 2))
    assert {name.decode() for name in redis.keys("stat:*")} == set(ruby)
    for name, key in ruby.items():
        assert redis.get(name) == key["value"].encode()
        assert redis.ttl(name) == key["ttl"]


def test_nothing_counted_writes_no_counter(redis: redis_py.Redis) -> None:
    send(beat(), redis)
    assert redis.keys("stat:*") == []


def test_the_day_is_the_utc_one(redis: redis_py.Redis) -> None:
    midnight = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
    send(beat(clock=lambda: midnight - 0.5), redis, counters=counted(1, 0))
    send(beat(clock=lambda: midnight), redis, counters=counted(2, 0))
    assert redis.mget("stat:processed", "stat:processed:2026-02-28", "stat:processed:2026-03-01") == [b"3", b"1", b"2"]


def test_counts_that_redis_refuses_are_counted_with_the_next_beat(redis: redis_py.Redis) -> None:
    counters = counted(5, 2)
    redis.config_set("maxmemory", "1")  # refuses every write, and so the whole transaction
    try:
        with pytest.raises(redis_py.RedisError):
            send(beat(), redis, counters=counters)
    finally:
        redis.config_set("maxmemory", "0")
    assert redis.dbsize() == 0
    send(beat(), redis, counters=counters)
    assert redis.mget("stat:processed", "stat:failed") == [b"5", b"2"]


def test_counts_stay_when_redis_is_not_there() -> None:
    counters = counted(5, 2)
    with (
        connect(Config.of(redis=f"redis://127.0.0.1:{free_port()}/0")) as gone,
        pytest.raises(redis_py.ConnectionError),
    ):
        send(beat(), gone, counters=counters)
    assert counters.take() == Counts(5, 2)


def test_one_refused_command_costs_neither_the_beat_nor_a_signal(redis: redis_py.Redis) -> None:
    redis.rpush("stat:processed", "somebody else's list")
    redis.lpush(f"{IDENTITY}-signals", "TERM")
    counters, beating = counted(5, 2), beat()
    with capture_logs() as lines:
        assert send(beating, redis, counters=counters).signals == ["TERM"]
        send(beating, redis, counters=counted(1, 1))
    assert redis.hget(IDENTITY, "busy") == b"0"
    assert counters.take() == Counts(0, 0)
    assert [line["log_level"] for line in lines] == ["warning"]


# The end


def test_a_clean_stop_leaves_what_ruby_leaves(redis: redis_py.Redis) -> None:
    for version in VERSIONS:
        left = capture(version, "heartbeat_after_stop")["redis"]
        assert "processes" not in left
        assert not [name for name in left if name.endswith((":work", ":workers"))]
        assert process_hash({"redis": left})["info"]
    running, beating = [Running(1, "default", b"{}", 5.0)], beat()
    send(beating, redis, work=running, busy=1, legacy_workers=True)
    beating.clear(redis, counted(3, 1))
    assert {name.decode() for name in redis.keys("*")} == {
        IDENTITY,
        "stat:processed",
        "stat:failed",
        "stat:processed:2026-11-22",
        "stat:failed:2026-11-22",
    }
    assert 0 < redis.ttl(IDENTITY) <= 60


def test_a_clean_stop_leaves_other_processes_alone(redis: redis_py.Redis) -> None:
    redis.sadd("processes", "ruby:1:ab")
    send(beat(), redis)
    beat().clear(redis, Counters())
    assert redis.smembers("processes") == {b"ruby:1:ab"}
    assert redis.keys("stat:*") == []

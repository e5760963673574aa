"""The pulse: lease, heartbeat, fleet, and what the dashboard says."""

from __future__ import annotations

import ctypes
import json
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis as redis_py

from pykiq.config import Config
from pykiq.jobs.lifecycle import Lifecycle
from pykiq.observe.counters import Counters
from pykiq.observe.heartbeat import Beat, process_info
from pykiq.observe.history import History
from pykiq.observe.observer import by_kind
from pykiq.records import Acknowledge, Assigned, Fate, Outcome, Settled, Word
from pykiq.store import fleet
from pykiq.store.claim import Berth
from pykiq.store.connection import connect
from pykiq.store.standing import StandingOrders
from pykiq.worker.pulse import GLANCE, Pulse
from tests.commands import taken
from tests.servers import wait_until
from tests.worker.stage import ME, claimed, raw, threads_here

BEAT_COMMANDS = 10  # GET, PING, MULTI, EXISTS, SADD, HSET, EXPIRE, UNLINK, RPOP, EXEC


class Body:
    """A pulse and what it is attached to. The lease is short: it is renewed four times within its life."""

    def __init__(self, url: str, **config: Any) -> None:
        self.config = Config.of(redis=url, **{"lease_ttl": 1.0, "sweep_interval": 0.1, **config})
        self.hooks = Lifecycle()
        self.signals: list[str] = []
        self.paused: list[frozenset[str]] = []
        self.running: list[tuple[int, Assigned, float]] = []
        self.is_quiet = False
        self.counters = Counters()
        self.history = History()
        self.berth = Berth(ME, ("default",), self.config.lease_ttl)
        info = process_info(self.config, host="me", pid=1, identity=ME, started_at=1.5)
        self.pulse = Pulse(
            self.config,
            self.berth,
            Beat(ME, info, pid=1, concurrency=10),
            connect(self.config),
            self.counters,
            self.history,
            self.hooks,
            running=lambda: self.running,
            quiet=lambda: self.is_quiet,
            signal=self.signals.append,
            pause=self.paused.append,
            orders=StandingOrders(self.berth, connect(self.config)),
        )

    def runs(self, *running: tuple[int, Assigned, float]) -> None:
        """These have started, and that is told."""
        self.running = list(running)
        self.pulse.started([])


@pytest.fixture
def body(redis: redis_py.Redis, redis_url: str) -> Iterator[Body]:
    made = Body(redis_url)
    yield made
    made.pulse.close()


def test_the_process_is_listed_and_leased_before_start_returns(redis: redis_py.Redis, body: Body) -> None:
    body.pulse.start()
    assert redis.smembers("processes") == {ME.encode()}
    assert redis.exists(body.berth.lease)
    assert redis.hexists("pykiq:owners", ME)
    assert json.loads(redis.hget(ME, "info"))["identity"] == ME


def test_the_lease_is_renewed_for_as_long_as_it_beats(redis: redis_py.Redis, body: Body) -> None:
    body.pulse.start()
    began = time.monotonic()
    while time.monotonic() - began < 3 * body.config.lease_ttl:
        assert redis.exists(body.berth.lease)
    body.pulse.halt()
    wait_until(lambda: not redis.exists(body.berth.lease), 10, "the lease to run out")


def test_a_hook_that_takes_its_time_does_not_cost_the_lease(redis: redis_py.Redis, body: Body) -> None:
    body.pulse.start()
    held, free = threading.Event(), threading.Event()
    body.hooks.on("beat")(lambda: (held.set(), free.wait(10)))
    body.pulse.hurry()
    assert held.wait(5)
    began = time.monotonic()
    while time.monotonic() - began < 3 * body.config.lease_ttl:
        assert redis.exists(body.berth.lease)
    free.set()


@pytest.mark.system
def test_a_handler_that_holds_the_interpreters_lock_does_not_cost_the_lease(redis: redis_py.Redis, body: Body) -> None:
    body.pulse.start()
    redis.append(body.berth.lease, "the same")  # renewing keeps that, a new lease has not got it
    for _ in range(2):
        ctypes.PyDLL(None).usleep(int(4 * body.config.lease_ttl * 1_000_000))
        assert redis.get(body.berth.lease) == f"{ME}the same".encode()
        let_go = time.monotonic()
        wait_until(lambda let_go=let_go: time.monotonic() - let_go > body.config.lease_ttl)  # type: ignore[misc]


def test_orders_are_withdrawn_before_the_halt_is_over(redis: redis_py.Redis, body: Body) -> None:
    def standing() -> int:
        return len([one for one in redis.client_list() if one["cmd"] == "brpop"])

    body.pulse.start()
    assert standing() == 1
    body.pulse.halt()
    wait_until(lambda: standing() == 0, 1, "Redis hearing of it")
    wait_until(lambda: not redis.exists(body.berth.lease), 10, "the lease to run out")


def test_running_jobs_and_quiet_are_shown(redis: redis_py.Redis, body: Body) -> None:
    body.running = [(7, Assigned(claimed(raw("Job", 1)), {}, None, "Job", "x"), 1_795_315_631.9)]  # type: ignore[arg-type]
    body.is_quiet = True
    body.pulse.start()
    [work] = redis.hvals(f"{ME}:work")
    assert json.loads(work) == {"queue": "default", "payload": raw("Job", 1).decode(), "run_at": 1_795_315_631}
    assert redis.hmget(ME, "busy", "quiet") == [b"1", b"true"]


def running_now(*numbers: int, since: float | None = None) -> list[tuple[int, Assigned, float]]:
    began = time.time() if since is None else since
    return [(n, Assigned(claimed(raw("Job", n)), {}, None, "Job", str(n)), began) for n in numbers]  # type: ignore[arg-type]


def shown(redis: redis_py.Redis) -> list[int]:
    records = (json.loads(record) for record in redis.hvals(f"{ME}:work"))
    return sorted(json.loads(record["payload"])["args"][0] for record in records)


def test_a_job_that_takes_its_time_is_shown_soon_and_so_is_its_end(redis: redis_py.Redis, body: Body) -> None:
    beats: list[str] = []
    body.hooks.on("beat")(lambda: beats.append("beat"))
    body.pulse.start()
    body.runs(*running_now(1, 2))
    wait_until(lambda: shown(redis) == [1, 2], 5, "the jobs")
    assert redis.hget(ME, "busy") == b"2"
    body.running = body.running[1:]
    wait_until(lambda: shown(redis) == [2], 5, "the end of one")
    body.running = []
    wait_until(lambda: not redis.exists(f"{ME}:work"), 5, "the end of the other")
    assert redis.hget(ME, "busy") == b"0"
    assert beats == ["beat"]


def test_where_all_jobs_are_short_nothing_is_written_between_two_beats(redis: redis_py.Redis, body: Body) -> None:
    looks: list[float] = []

    def running() -> list[tuple[int, Assigned, float]]:
        looks.append(time.time())
        return running_now(1, 2, 3)  # all have just begun

    body.pulse._running = running
    body.pulse.start()
    told = redis.hget(ME, "beat")
    wait_until(lambda: len(looks) > 3, 10, "a few looks")
    assert redis.hget(ME, "beat") == told


def test_while_nothing_runs_it_looks_only_with_each_beat_at_what_does(redis: redis_py.Redis, body: Body) -> None:
    looks: list[float] = []

    def running() -> list[tuple[int, Assigned, float]]:
        looks.append(time.monotonic())
        return body.running

    body.pulse._running = running
    body.pulse.start()
    wait_until(lambda: len(looks) >= 2, what="the first beat, and that nothing runs")
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 2.5 * GLANCE)
    assert len(looks) == 2
    body.runs(*running_now(1))
    wait_until(lambda: shown(redis) == [1], 5, "the job")
    body.running = []
    wait_until(lambda: shown(redis) == [], 5, "its end")
    seen = len(looks) + 1  # that nothing runs
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 2.5 * GLANCE)
    assert len(looks) <= seen


def test_a_redis_that_is_away_is_told_of_the_jobs_by_the_next_beat(
    redis: redis_py.Redis, body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    def away(*_: Any, **__: Any) -> None:
        tries.append("show")
        raise redis_py.ConnectionError("away")

    body.pulse.start()
    monkeypatch.setattr(Beat, "show", away)
    body.runs(*running_now(1, since=1.5))
    wait_until(lambda: tries, 5, "the first try")
    body.running = running_now(2, since=1.5)
    looks = time.monotonic()
    wait_until(lambda: time.monotonic() - looks > 1.5, 5)
    assert len(tries) == 1
    body.pulse.hurry()
    wait_until(lambda: shown(redis) == [2], 5, "the next beat")


def test_the_buttons_of_the_dashboard_arrive_one_per_beat_in_order(redis: redis_py.Redis, body: Body) -> None:
    redis.lpush(f"{ME}-signals", "TSTP")
    redis.lpush(f"{ME}-signals", "TERM")
    body.pulse.start()
    assert body.signals == ["TSTP"]
    body.pulse.hurry()
    wait_until(lambda: body.signals == ["TSTP", "TERM"])


@pytest.mark.parametrize(
    ("version", "period", "workers"), [("6.4.1", 5.0, True), ("7.3.2", 10.0, False), ("8.1.7", 10.0, False)]
)
def test_the_fleet_decides_the_rhythm_and_who_sees_the_work(
    redis: redis_py.Redis, body: Body, version: str, period: float, workers: bool
) -> None:
    redis.sadd("processes", "ruby:1:x")
    redis.hset("ruby:1:x", "info", json.dumps({} if version[0] == "6" else {"version": version}))
    body.running = [(7, Assigned(claimed(raw("Job", 1)), {}, None, "Job", "x"), 1.5)]  # type: ignore[arg-type]
    body.pulse.start()
    assert body.pulse.fleet.dialect.name == version[0]
    assert body.pulse.fleet.dialect.heartbeat_period == period
    assert bool(redis.exists(f"{ME}:workers")) is workers


def test_a_ruby_that_joins_later_is_seen_when_the_fleet_is_read_again(
    redis: redis_py.Redis, body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "FRESH_SECONDS", 0.05)
    body.pulse.start()
    assert body.pulse.fleet.dialect.name == "7"
    redis.sadd("processes", "ruby:1:x")
    redis.hset("ruby:1:x", "info", json.dumps({"version": "8.1.7"}))

    def seen() -> bool:
        body.pulse.hurry()
        return body.pulse.fleet.dialect.name == "8"

    wait_until(seen)


@pytest.mark.parametrize("others", [1, 1000])
def test_a_beat_takes_as_many_commands_however_many_processes_there_are(
    redis: redis_py.Redis, body: Body, others: int
) -> None:
    for number in range(others):
        redis.sadd("processes", f"other:{number}:x")
        redis.hset(f"other:{number}:x", "info", json.dumps({"version": "8.1.7"}))
    fleet.shared(redis)
    body.pulse._beat_once()  # the first of a minute looks for processes that are gone, too
    assert body.pulse.fleet.versions == {"8.1.7"}
    assert taken(redis, body.pulse._beat_once) == BEAT_COMMANDS


def test_events_fire_at_the_first_beat_and_at_every_beat(redis: redis_py.Redis, body: Body) -> None:
    fired: list[str] = []
    body.hooks.on("heartbeat")(lambda: fired.append("heartbeat"))
    body.hooks.on("beat")(lambda: fired.append("beat"))
    body.pulse.start()
    assert fired == ["heartbeat", "beat"]
    body.pulse.hurry()
    wait_until(lambda: fired == ["heartbeat", "beat", "beat"])
    redis.delete(ME)  # Redis has forgotten this process
    body.pulse.hurry()
    wait_until(lambda: fired[3:] == ["heartbeat", "beat"])


def test_a_hook_that_exits_or_hangs_ends_neither_the_lease_nor_the_beats(redis: redis_py.Redis, body: Body) -> None:
    body.pulse.start()
    beats: list[str] = []
    let_go = threading.Event()

    @body.hooks.on("beat")
    def misbehaves() -> None:
        beats.append("beat")
        if len(beats) == 1:
            sys.exit(1)
        let_go.wait(10)

    body.pulse.hurry()
    wait_until(lambda: len(beats) == 1)
    body.pulse.hurry()
    wait_until(lambda: len(beats) == 2)
    began = time.monotonic()
    while time.monotonic() - began < 2 * body.config.lease_ttl:
        assert redis.exists(body.berth.lease)
    let_go.set()


def test_a_redis_that_comes_back_finds_the_process_again(redis: redis_py.Redis, body: Body) -> None:
    body.pulse.start()
    redis.flushall()
    redis.client_kill_filter(_type="normal", skipme=True)
    body.pulse.hurry()
    wait_until(lambda: redis.exists(body.berth.lease) and redis.smembers("processes") == {ME.encode()})


def test_ghosts_are_cleared_as_ruby_does(redis: redis_py.Redis, body: Body) -> None:
    redis.sadd("processes", "ghost:1:x")
    body.pulse.start()
    body.pulse.hurry()
    wait_until(lambda: redis.smembers("processes") == {ME.encode()})


def test_a_strange_member_of_processes_keeps_nobody_from_starting(redis: redis_py.Redis, body: Body) -> None:
    redis.sadd("processes", "text")
    redis.set("text", "not a hash")
    body.pulse.start()
    assert redis.sismember("processes", ME)


def test_closing_takes_it_off_the_list_and_writes_the_last_counts(redis: redis_py.Redis, body: Body) -> None:
    body.pulse.start()
    done = Outcome(claimed(raw("Job")), Word.DONE, Acknowledge())
    body.counters.counted(by_kind([Settled(done, Fate.DONE), Settled(done, Fate.DONE)]))
    body.pulse.close()
    assert redis.smembers("processes") == set()
    assert redis.get("stat:processed") == b"2"
    assert {"pykiq-pulse", "pykiq-lease", "pykiq-orders"}.isdisjoint({thread.name for thread in threads_here()})


def test_closing_without_redis_is_no_error(body: Body, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise redis_py.ConnectionError("away")

    body.pulse.start()
    monkeypatch.setattr(Beat, "clear", away)
    body.pulse.close()


def test_paused_queues_are_known_before_it_starts_and_noticed_while_it_runs(redis: redis_py.Redis, body: Body) -> None:
    redis.sadd("paused", "low")
    body.pulse.start()
    assert body.paused == [frozenset({"low"})]
    redis.sadd("paused", "high")
    wait_until(lambda: body.paused[1:] == [{"low", "high"}], 5, "the second queue")
    redis.delete("paused")
    wait_until(lambda: body.paused[2:] == [frozenset()], 5, "the end of the pause")


def test_what_classes_did_is_written_with_the_beat_and_at_the_end(redis: redis_py.Redis, body: Body) -> None:
    def done() -> Settled:
        return Settled(Outcome(claimed(raw("Job")), Word.DONE, Acknowledge(), "Job", "x", 1.0, 0.5), Fate.DONE)

    body.pulse.start()
    body.history.counted(by_kind([done()]))
    body.pulse.hurry()
    wait_until(lambda: redis.keys("j|*"), what="the counters")
    body.history.counted(by_kind([done(), done()]))
    body.pulse.close()
    by_tens = [key for key in redis.keys("j|??????|*") if len(key.split(b":")[1]) == 1]
    assert sum(int(redis.hget(key, "Job|p") or 0) for key in by_tens) == 3

"""The sweeper: jobs of dead processes come back, whatever else goes on, and those of living ones never."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator

import pytest
import redis as redis_py

from pykiq.config import Config
from pykiq.middleware.chain import Chain
from pykiq.records import Fate, Word
from pykiq.store.claim import Berth
from pykiq.store.connection import connect
from pykiq.store.leases import Doubtful, Leases
from pykiq.wire.dialect import SEVEN
from pykiq.worker.poller import Poller
from pykiq.worker.sweeper import DOUBT, Sweeper
from tests.logs import capture_logs
from tests.servers import Server, wait_until
from tests.worker.stage import Reported, raw, threads_here

OLD = "old:1:aaaaaaaaaaaa"


@pytest.fixture
def reported() -> Reported:
    return Reported()


@pytest.fixture
def sweeper(redis: redis_py.Redis, redis_url: str, reported: Reported) -> Iterator[Sweeper]:
    made = sweeper_at(redis_url, reported)
    yield made
    made.close()


def sweeper_at(url: str, reported: Reported) -> Sweeper:
    config = Config.of(redis=url, sweep_interval=0.2, lease_ttl=1)
    berth = Berth("me:1:aaaaaaaaaaaa", ("default",), config.lease_ttl)
    return Sweeper(config, berth, connect(config), poison_entry=lambda *_: b"{}", report=reported)


def leave_behind(redis: redis_py.Redis, *jobs: bytes) -> None:
    """A process has died with these in flight."""
    redis.hset("pykiq:owners", OLD, json.dumps(["low"]))
    redis.lpush(f"pykiq:inflight:{OLD}:low", *(jobs or [raw("Job")]))


def counter(payload: bytes) -> str:
    return f"pykiq:takeovers:{json.loads(payload)['jid']}:{hashlib.sha1(payload).hexdigest()}"


def test_what_is_taken_over_and_what_is_buried_is_reported(
    redis: redis_py.Redis, sweeper: Sweeper, reported: Reported
) -> None:
    leave_behind(redis, raw("Job", 1), raw("Pill", 2))
    redis.lpush(counter(raw("Pill", 2)), f"{time.time()} a:1:x", f"{time.time()} b:1:x")
    sweeper.start()
    wait_until(lambda: len(reported.taken) == 2)
    assert {one.raw: one.poison for one in reported.taken} == {raw("Job", 1): False, raw("Pill", 2): True}
    [pill] = reported.settled
    assert (pill.fate, pill.outcome.word, pill.outcome.name) == (Fate.DEAD, Word.POISON, "Pill")
    assert OLD in (pill.outcome.error_message or "")


def test_what_a_dead_process_held_comes_back(redis: redis_py.Redis, sweeper: Sweeper) -> None:
    leave_behind(redis)
    sweeper.start()
    wait_until(lambda: redis.llen("queue:low") == 1)
    wait_until(lambda: not redis.hexists("pykiq:owners", OLD))


@pytest.mark.system
def test_no_lease_is_taken_for_expired_when_redis_was_away_a_moment_ago(
    redis: redis_py.Redis, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have all run out then, also those of processes that live."""
    failed: list[float] = []

    def away(*_: object) -> None:
        failed.append(time.monotonic())
        raise redis_py.ConnectionError("away")

    sweeper.start()
    wait_until(lambda: redis.exists("pykiq:walk"), what="the first sweep")
    with monkeypatch.context() as patch:
        patch.setattr(sweeper._client.connection_pool, "get_connection", away)
        wait_until(lambda: len(failed) > 1)
        leave_behind(redis)
    wait_until(lambda: redis.llen("queue:low") == 1)
    assert time.monotonic() - failed[-1] >= DOUBT


@pytest.mark.system
def test_no_lease_is_taken_for_expired_when_what_was_seen_is_not_to_be_believed(
    redis: redis_py.Redis, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    doubted: list[float] = []
    lapsed = Leases.lapsed

    def doubtful(leases: Leases, client: redis_py.Redis) -> dict[str, list[str]]:
        if len(doubted) < 2:
            doubted.append(time.monotonic())
            raise Doubtful("Redis' clock was put +600.0 s")
        return lapsed(leases, client)

    monkeypatch.setattr(Leases, "lapsed", doubtful)
    leave_behind(redis)
    with capture_logs() as lines:
        sweeper.start()
        wait_until(lambda: redis.llen("queue:low") == 1)
    told = [line for line in lines if line["event"] == "takeovers_put_off"]
    assert [line["reason"] for line in told] == ["Redis' clock was put +600.0 s"] * 2
    assert time.monotonic() - doubted[-1] >= DOUBT


def test_it_takes_over_while_a_middleware_of_a_due_job_does_not_come_back(
    redis: redis_py.Redis, redis_url: str, sweeper: Sweeper
) -> None:
    """Each duty has its own thread: a storm of due jobs put takeovers off for as long as it lasted."""
    config = Config.of(redis=redis_url)
    held: list[bool] = []

    def hangs(job: object, call_next: object) -> None:
        held.append(True)
        wait_until(lambda: redis.llen("queue:low") == 1)

    poller = Poller(config, connect(config), Chain(hangs), dialect=lambda job: SEVEN, report=Reported())
    redis.zadd("schedule", {raw("Job", "due"): 1})
    poller.start()
    wait_until(lambda: held, what="the middleware under way")
    leave_behind(redis)
    sweeper.start()
    wait_until(lambda: redis.llen("queue:low") == 1)
    poller.close()


@pytest.mark.parametrize("odd", ["retry", "schedule", f"pykiq:inflight:{OLD[:-1]}b:low", "pykiq:suspect", "pykiq:walk"])
def test_an_odd_key_does_not_put_takeovers_off(redis: redis_py.Redis, sweeper: Sweeper, odd: str) -> None:
    redis.set(odd, "of another type")
    leave_behind(redis)
    sweeper.start()
    wait_until(lambda: redis.llen("queue:low") == 1)


def test_a_redis_that_is_full_refuses_no_takeover(victim: Server, store: redis_py.Redis) -> None:
    """Of all times the jobs of those that died must be worked off then. Without eviction it refuses every SET."""
    jobs = [raw("Job", number) for number in range(5)]
    leave_behind(store, *jobs)
    store.lpush(counter(jobs[0]), time.time())  # one of them is a suspect
    store.config_set("maxmemory", 1)
    with pytest.raises(redis_py.ResponseError, match="maxmemory"):
        store.set("a", 1)
    sweeper = sweeper_at(victim.url, Reported())
    sweeper.start()
    wait_until(lambda: store.llen("queue:low") == 5, what="every job back")
    wait_until(lambda: not store.hexists("pykiq:owners", OLD))
    assert store.exists("pykiq:walk")
    sweeper.close()


def test_closing_ends_the_thread_even_before_it_began(redis_url: str, sweeper: Sweeper) -> None:
    sweeper.close()
    sweeper.start()
    wait_until(lambda: not any(thread.name == "pykiq-sweeper" for thread in threads_here()))


# One sweeps for all.


def test_while_another_process_sweeps_it_looks_at_no_lease(
    redis: redis_py.Redis, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    noticed: list[float] = []
    notice = Leases.notice
    monkeypatch.setattr(Leases, "notice", lambda *about: (noticed.append(1.0), notice(*about)))
    redis.set("pykiq:sweep", "other:1:bbbbbbbbbbbb", px=600)
    monkeypatch.setattr(sweeper, "_sweep_at", 0.0)
    leave_behind(redis)
    redis.config_resetstat()
    sweeper.start()
    wait_until(lambda: len(noticed) > 1 or not redis.exists("pykiq:sweep"), what="two looks at who sweeps")
    assert "cmdstat_hkeys" not in redis.info("commandstats") or not redis.exists("pykiq:sweep")
    wait_until(lambda: redis.llen("queue:low") == 1, what="the takeover when that one has ended")
    assert redis.get("pykiq:sweep") == b"me:1:aaaaaaaaaaaa"


def test_who_only_waits_for_its_turn_hears_of_a_clock_that_was_put(
    redis: redis_py.Redis, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All leases have run out then, and so has the turn of the one that swept: this one is next."""

    def put(*_: object) -> None:
        raise Doubtful("Redis' clock was put +600.0 s")

    monkeypatch.setattr(Leases, "notice", put)
    monkeypatch.setattr(sweeper, "_sweep_at", 0.0)
    leave_behind(redis)
    with capture_logs() as lines:
        sweeper.start()
        wait_until(lambda: [one for one in lines if one["event"] == "takeovers_put_off"])
    assert redis.llen("queue:low") == 0
    assert not redis.exists("pykiq:sweep")


def test_where_it_fails_it_leaves_the_sweeps_to_another_one(
    redis: redis_py.Redis, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[str] = []

    def fails(*_: object) -> None:
        failed.append("look")
        raise RuntimeError("here, and not elsewhere")

    monkeypatch.setattr(Leases, "lapsed", fails)
    sweeper.start()
    wait_until(lambda: failed)
    wait_until(lambda: not sweeper._leadership.held)


def test_it_gives_the_sweeps_up_when_it_is_closed(redis: redis_py.Redis, sweeper: Sweeper) -> None:
    sweeper.start()
    wait_until(lambda: redis.exists("pykiq:sweep"))
    sweeper.close()
    assert not redis.exists("pykiq:sweep")

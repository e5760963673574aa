"""Jobs taken out of a queue by a rule, in one pass: nothing is lost, nothing comes twice, nothing changes its place."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import Any

import pytest
import redis as redis_py
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pykiq.errors import StoreError
from pykiq.store import leftovers, portions, reclaim, sifting
from pykiq.store.sifting import sift
from pykiq.wire import keys
from tests.servers import Server
from tests.store.jobs import CONFIG, berth

QUEUE = "queue:low"


def filled(redis: redis_py.Redis, jobs: int) -> list[bytes]:
    """A queue, the newest job first."""
    made = [b"job %06d" % number for number in range(jobs, 0, -1)]
    for at in range(0, jobs, 1000):
        redis.rpush(QUEUE, *made[at : at + 1000])
    redis.sadd("queues", "low")
    return made


def is_even(raw: bytes) -> bool:
    return raw[-1:] in b"02468"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of a few jobs."""
    monkeypatch.setattr(portions, "BYTES", 40)
    monkeypatch.setattr(portions, "FIRST", 3)
    monkeypatch.setattr(sifting, "OLDEST", 4)


def left(redis: redis_py.Redis) -> set[bytes]:
    """The keys there are."""
    return set(redis.keys("*")) - {b"queues"}


@pytest.mark.parametrize("jobs", [0, 1, 2, 499, 2345])
def test_what_is_meant_goes_and_the_others_stay_in_their_order(redis: redis_py.Redis, jobs: int) -> None:
    made = filled(redis, jobs)
    assert list(sift(redis, "low", is_even)) == [is_even(raw) for raw in made]
    assert redis.lrange(QUEUE, 0, -1) == [raw for raw in made if not is_even(raw)]
    assert left(redis) <= {QUEUE.encode()}


def test_all_of_it_may_go_and_none_of_it(redis: redis_py.Redis) -> None:
    made = filled(redis, 1000)
    assert not any(sift(redis, "low", lambda raw: False))
    assert redis.lrange(QUEUE, 0, -1) == made
    assert all(sift(redis, "low", lambda raw: True))
    assert left(redis) == set()


@pytest.mark.parametrize("limit", [0, 1, 7, 600, 5000])
def test_a_limit_is_that_of_the_newest_that_are_meant(redis: redis_py.Redis, limit: int) -> None:
    made = filled(redis, 2000)
    assert sum(sift(redis, "low", is_even, limit=limit)) == min(limit, 1000)
    gone = set([raw for raw in made if is_even(raw)][:limit])
    assert redis.lrange(QUEUE, 0, -1) == [raw for raw in made if raw not in gone]


@pytest.mark.usefixtures("small")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    jobs=st.integers(0, 30),
    meant=st.sets(st.integers(1, 30)),
    meanwhile=st.lists(st.lists(st.sampled_from(["push", "pop", "put back", "delete"]), max_size=4), max_size=12),
    stops_after=st.integers(0, 40),
)
def test_whatever_others_do_meanwhile_each_job_is_where_it_would_be(
    redis: redis_py.Redis, jobs: int, meant: set[int], meanwhile: list[list[str]], stops_after: int
) -> None:
    """None is lost, none comes twice, and none but those that are meant has gone; also when the pass is stopped."""
    redis.flushall()
    filled(redis, jobs)
    popped: list[bytes] = []
    pushed: list[bytes] = []
    deleted: set[bytes] = set()
    steps = iter(meanwhile)

    def is_meant(raw: bytes) -> bool:
        return raw.startswith(b"job") and int(raw[4:]) in meant

    def others() -> None:
        for what in next(steps, []):
            if what == "push":
                pushed.append(b"new %06d" % len(pushed))
                redis.lpush(QUEUE, pushed[-1])
            elif what == "pop":
                popped.extend(filter(None, [redis.rpop(QUEUE)]))  # type: ignore[list-item]
            elif what == "put back" and popped:
                redis.rpush(QUEUE, popped.pop())
            elif what == "delete":
                waiting = redis.lrange(QUEUE, 0, -1)
                if waiting:
                    deleted.add(waiting[len(waiting) // 2])
                    redis.lrem(QUEUE, 1, waiting[len(waiting) // 2])

    looked = 0
    with closing(sift(redis, "low", is_meant)) as passed:  # type: ignore[type-var]
        for _ in passed:
            others()
            looked += 1
            if looked > stops_after:
                break
    now = redis.lrange(QUEUE, 0, -1)
    everything = [b"job %06d" % number for number in range(1, jobs + 1)] + pushed
    assert len(now) == len(set(now))
    assert not set(now) & (set(popped) | deleted)
    missing = set(everything) - set(now) - set(popped) - deleted
    assert all(map(is_meant, missing))
    if looked <= stops_after and "put back" not in str(meanwhile):
        assert not any(map(is_meant, now))
    assert left(redis) <= {QUEUE.encode()}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("pushes", [1, 3, 10])
def test_pushes_and_pops_meanwhile_keep_the_order(redis: redis_py.Redis, pushes: int) -> None:
    made = filled(redis, 60)
    popped: list[Any] = []
    pushed: list[bytes] = []
    for number, _ in enumerate(sift(redis, "low", is_even)):
        if number % 4 == 0:
            for _ in range(pushes):
                pushed.append(b"new %04d" % len(pushed))
                redis.lpush(QUEUE, pushed[-1])
        if number % 7 == 0:
            popped.append(redis.rpop(QUEUE))
    assert popped == sorted(popped), "the oldest first"
    assert set(popped) < set(made), "and none that was pushed only then"
    kept = [raw for raw in made if not is_even(raw) and raw not in popped]
    assert redis.lrange(QUEUE, 0, -1) == pushed[::-1] + kept


@pytest.mark.usefixtures("small")
def test_workers_and_producers_at_full_speed_lose_nothing(redis: redis_py.Redis, server: Server) -> None:
    made = filled(redis, 20_000)
    popped: list[bytes] = []
    pushed: list[bytes] = []
    done = threading.Event()

    def work() -> None:
        with server.client() as client:
            while not done.is_set():
                popped.extend(client.rpop(QUEUE, 3) or [])  # type: ignore[arg-type]

    def produce() -> None:
        with server.client() as client:
            while not done.is_set():
                batch = [b"new %07d" % (len(pushed) + number) for number in range(5)]
                client.lpush(QUEUE, *batch)
                pushed.extend(batch)

    threads = [threading.Thread(target=one) for one in (work, produce, work)]
    for thread in threads:
        thread.start()
    try:
        removed = sum(sift(redis, "low", lambda raw: raw.startswith(b"job") and is_even(raw)))
    finally:
        done.set()
        for thread in threads:
            thread.join()
    now = redis.lrange(QUEUE, 0, -1)
    assert len(now) + len(popped) + removed == len(made) + len(pushed)
    assert len(set(now) | set(popped)) == len(now) + len(popped)
    assert set(now) | set(popped) >= {raw for raw in made if not is_even(raw)} | set(pushed)
    assert left(redis) <= {QUEUE.encode()}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError, SystemExit])
def test_a_pass_that_breaks_off_puts_everything_back(redis: redis_py.Redis, error: type[BaseException]) -> None:
    made = filled(redis, 100)

    def is_meant(raw: bytes) -> bool:
        if raw == made[50]:
            raise error
        return is_even(raw)

    removed: list[bool] = []
    with pytest.raises(error):
        removed.extend(sift(redis, "low", is_meant))
    now = redis.lrange(QUEUE, 0, -1)
    assert len(now) == 100 - sum(removed)
    assert now == [raw for raw in made if raw in now]
    assert left(redis) == {QUEUE.encode()}


def killed(redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """As kill -9 does it: nothing is put back."""
    with monkeypatch.context() as patched:
        patched.setattr(sifting._Pass, "put_back", lambda self: None)
        for number, _ in enumerate(sift(redis, "low", is_even)):
            if number == after:
                return


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("by", ["the next pass", "a worker"])
def test_what_a_killed_pass_has_on_the_side_is_put_back(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    made = filled(redis, 100)
    killed(redis, monkeypatch, 40)
    (lease,) = redis.keys("pykiq:lease:sift@*")
    (side,) = redis.keys("pykiq:inflight:sift@*:low")
    assert keys.owner_and_queue(side.decode()) == (lease.decode().removeprefix("pykiq:lease:"), "low")
    assert redis.pttl(lease) > 0
    waiting, aside = redis.lrange(QUEUE, 0, -1), redis.lrange(side, 0, -1)
    assert aside + waiting == [raw for raw in made if raw in aside + waiting]
    assert {raw for raw in made if not is_even(raw)} < set(aside + waiting)
    redis.delete(lease)
    if by == "a worker":
        assert not list(reclaim.sweep(redis, berth("other"), CONFIG, lambda *_: b"dead"))
        assert redis.lrange(QUEUE, 0, -1) == aside + waiting
        assert not redis.keys("pykiq:*sift@*")
        return
    assert not any(sift(redis, "low", lambda raw: False))
    assert redis.lrange(QUEUE, 0, -1) == aside + waiting
    assert left(redis) == {QUEUE.encode()}


@pytest.mark.usefixtures("small")
@pytest.mark.system
def test_jobs_that_were_only_looked_at_are_never_suspects_or_poison(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = filled(redis, 100)
    for _ in range(leftovers.POISON_TAKEOVERS + 1):
        with monkeypatch.context() as patched:
            patched.setattr(sifting._Pass, "put_back", lambda self: None)
            next(iter(looked := sift(redis, "low", lambda raw: False)))
            looked.close()  # type: ignore[attr-defined]
        redis.delete(*redis.keys("pykiq:lease:sift@*"), "pykiq:sweep")
        assert not list(reclaim.sweep(redis, berth("other"), CONFIG, lambda *_: b"dead"))
        assert redis.lrange(QUEUE, 0, -1) == made
    assert not redis.exists("dead")
    assert not redis.keys("pykiq:takeovers:*")


def test_a_killed_pass_through_what_is_no_list_keeps_no_other_from_a_takeover(redis: redis_py.Redis) -> None:
    redis.hset("pykiq:owners", mapping={"sift@gone:1:a": '["odd"]', "gone:1:b": '["low"]'})
    redis.rpush("pykiq:inflight:sift@gone:1:a:odd", "held")
    redis.set("queue:odd", "no list")
    redis.rpush("pykiq:inflight:gone:1:b:low", "job")
    assert [one.raw for one in reclaim.sweep(redis, berth("other"), CONFIG, lambda *_: b"dead")] == [b"job"]
    assert redis.lrange("pykiq:inflight:sift@gone:1:a:odd", 0, -1) == [b"held"]


@pytest.mark.usefixtures("small")
def test_a_pass_whose_lease_has_run_out_touches_nothing_more_and_puts_back_what_is_left(redis: redis_py.Redis) -> None:
    made = filled(redis, 100)
    removed = 0

    def late() -> None:
        nonlocal removed
        for number, one in enumerate(sift(redis, "low", is_even)):
            removed += one
            if number == 30:
                redis.delete(*redis.keys("pykiq:lease:sift@*"))

    with pytest.raises(StoreError, match="left alone for longer than 30 s"):
        late()
    now = redis.lrange(QUEUE, 0, -1)
    assert now == [raw for raw in made if raw in now]
    assert len(now) == 100 - removed
    assert left(redis) == {QUEUE.encode()}


def test_a_full_redis_is_made_room_in(victim: Server, store: redis_py.Redis) -> None:
    filled(store, 20_000)
    store.config_set("maxmemory", 1_000_000)
    with pytest.raises(redis_py.ResponseError, match="maxmemory"):
        store.lpush(QUEUE, b"one more")
    assert sum(sift(store, "low", is_even)) == 10_000
    assert store.llen(QUEUE) == 10_000
    assert left(store) == {QUEUE.encode()}


@pytest.mark.usefixtures("small")
def test_a_worker_that_waits_for_the_queue_gets_what_comes_back(redis: redis_py.Redis, server: Server) -> None:
    filled(redis, 10)
    got: list[Any] = []

    def wait() -> None:
        with server.client() as client:
            got.append(client.brpop([QUEUE], 10))

    waiter = threading.Thread(target=wait)
    with closing(sift(redis, "low", is_even)) as passed:  # type: ignore[type-var]
        next(passed)
        redis.ltrim(QUEUE, 1, 0)  # as if workers had taken the oldest
        waiter.start()
        while not redis.info("clients")["blocked_clients"]:
            pass
    waiter.join(10)
    assert [one[0] for one in got] == [QUEUE.encode()]


def test_redis_is_never_held_up_for_long(victim: Server, store: redis_py.Redis) -> None:
    """By its own account: no command looks at more than a portion, whatever the length of the queue."""
    store.config_set("slowlog-log-slower-than", 0)
    store.config_set("slowlog-max-len", 10_000)
    longest = {}
    for jobs in (5_000, 40_000):
        store.flushall()
        filled(store, jobs)
        store.slowlog_reset()
        assert sum(sift(store, "low", is_even)) == jobs // 2
        commands = [one["command"].split()[0] for one in store.slowlog_get(10_000)]
        longest[jobs] = commands.count(b"EVALSHA")
    assert longest[40_000] < 12 * longest[5_000], "one pass"


@pytest.mark.usefixtures("small")
def test_a_rule_may_take_longer_than_the_lease_lasts(redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sifting, "LEASE", 0.4)
    filled(redis, 30)

    def is_meant(raw: bytes) -> bool:
        time.sleep(0.15)  # three for each step: longer than the lease
        return is_even(raw)

    assert sum(sift(redis, "low", is_meant, limit=6)) == 6
    assert redis.llen(QUEUE) == 24


@pytest.mark.usefixtures("small")
def test_a_pass_that_wakes_while_another_puts_its_jobs_back_removes_none_of_them(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was frozen for longer than its lease lasts: the places of jobs it goes by are others' now."""
    made = filled(redis, 100)
    monkeypatch.setattr(sifting.queues, "PAGE", 3)
    with closing(sift(redis, "low", is_even)) as frozen:  # type: ignore[type-var]
        told = [next(frozen) for _ in range(40)]
        (lease,) = redis.keys("pykiq:lease:sift@*")
        redis.delete(lease)
        identity = lease.decode().removeprefix("pykiq:lease:")
        other = sifting._Pass(redis, "low", identity, "lost")
        assert other._put_some_back()[0] > 0
        assert redis.exists(lease)
        with pytest.raises(StoreError, match="left alone"):
            told.extend(frozen)
    now = redis.lrange(QUEUE, 0, -1)
    assert len(set(now)) == len(now) == 100 - sum(told)
    assert {raw for raw in made if not is_even(raw)} < set(now)
    assert left(redis) == {QUEUE.encode()}

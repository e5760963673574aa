"""The exchange: every job runs, none twice without need, none beyond the slots, and none is lost on the way."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis as redis_py

from pykiq.errors import Interrupted, Snooze
from pykiq.jobs.lifecycle import Lifecycle
from pykiq.records import Started
from pykiq.store.claim import LARGE
from pykiq.wire.exactjson import loads
from pykiq.worker.doorbell import BLOCK
from pykiq.worker.reporter import Reporter
from tests.servers import wait_until
from tests.worker.stage import (
    Flaky,
    Stage,
    claimed,
    handler,
    in_flight,
    push,
    raw,
    registry,
    staged,
    threads_here,
    waiting,
)


class Gate:
    """A handler that runs until it is let go, and counts who runs at the same time."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.running: list[object] = []
        self.seen: list[object] = []
        self.most = 0
        self.interrupted: list[object] = []
        self._lock = threading.Lock()

    def __call__(self, name: object = None) -> None:
        self._enter(name)
        try:
            while not self.open.is_set():
                time.sleep(0.005)  # wakes for an Interrupted, as a handler in Python code does
        except Interrupted:
            self.interrupted.append(name)
            raise
        finally:
            self.running.remove(name)

    async def wait(self, name: object = None) -> None:
        self._enter(name)
        try:
            while not self.open.is_set():
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            self.interrupted.append(name)
            raise
        finally:
            self.running.remove(name)

    def _enter(self, name: object) -> None:
        with self._lock:
            self.running.append(name)
            self.seen.append(name)
            self.most = max(self.most, len(self.running))


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open.set()


def left(redis: redis_py.Redis) -> list[bytes]:
    """The keys in which jobs can be."""
    return [key for key in redis.keys("*") if not key.startswith((b"pykiq:lease", b"pykiq:owners", b"queues"))]


def gone_quiet() -> bool:
    """Whether no thread of a worker is left."""
    return not any(thread.name.startswith("pykiq-") for thread in threads_here())


def test_jobs_run_in_order_and_leave_nothing_behind(redis: redis_py.Redis, redis_url: str) -> None:
    ran: list[int] = []
    push(redis, *(raw("Job", number) for number in range(20)))
    with staged(redis_url, registry(Job=ran.append), concurrency=1) as stage:
        wait_until(lambda: stage.reports.fates.count("done") == 20)
        push(redis, raw("Job", 99))
        wait_until(lambda: ran[-1] == 99)
        assert stage.stop() is True
    assert ran == [*range(20), 99]
    assert left(redis) == []
    assert set(stage.reports.fates) == {"done"}


@pytest.mark.parametrize(
    ("payload", "fate", "key"),
    [
        (raw("Fails"), "retry", "retry"),
        (raw("Fails", retry=0), "dead", "dead"),
        (raw("Fails", retry=False), "discarded", None),
        (raw("Snoozes"), "snoozed", "schedule"),
        (b"{not json", "dead", "dead"),
        (b"[1]", "dead", "dead"),
        (b'{"args":[]}', "retry", "retry"),
        (raw("Fails", "one", "argument", "too", "many"), "retry", "retry"),
        (raw("Exits"), "retry", "retry"),
    ],
)
def test_each_end_is_written_once(
    redis: redis_py.Redis, redis_url: str, payload: bytes, fate: str, key: str | None
) -> None:
    def fails() -> None:
        raise ValueError("boom")

    def snoozes() -> None:
        raise Snooze(60)

    def exits() -> None:
        raise SystemExit(3)

    push(redis, payload)
    handlers = registry(Fails=fails, Snoozes=snoozes, Exits=exits, Job=lambda: None)
    with staged(redis_url, handlers) as stage:
        wait_until(lambda: stage.reports.fates == [fate], 5, f"{fate}, not {stage.reports.fates}")
        push(redis, raw("Job"))
        wait_until(lambda: stage.reports.fates == [fate, "done"])
    assert left(redis) == ([key.encode()] if key else [])
    assert key is None or redis.zcard(key) == 1


def test_the_room_is_never_exceeded_and_threads_and_tasks_share_it(redis: redis_py.Redis, redis_url: str) -> None:
    lock, now, most = threading.Lock(), [0], [0]

    def enter(change: int) -> None:
        with lock:
            now[0] += change
            most[0] = max(most[0], now[0])

    def job(number: int) -> None:
        enter(1)
        time.sleep(0.002 * (number % 3))
        enter(-1)

    async def task(number: int) -> None:
        enter(1)
        await asyncio.sleep(0.002 * (number % 3))
        enter(-1)

    rng = random.Random(3)
    push(redis, *(raw(rng.choice(("Job", "Task")), number) for number in range(300)))
    with staged(redis_url, registry(Job=job, Task=task), concurrency=4) as stage:
        wait_until(lambda: stage.reports.fates.count("done") == 300)
        assert set(stage.reports.fates) - {"handed_back"} == {"done"}
    assert most[0] == 4


def test_what_arrives_without_room_is_handed_back_to_the_head(
    redis: redis_py.Redis, redis_url: str, gate: Gate
) -> None:
    with staged(redis_url, registry(Job=gate), concurrency=1, queues=["a", "b"]) as stage:
        blocked = "blocked_clients"
        wait_until(lambda: redis.info("clients")[blocked] == 2, what="both doorbells")
        with redis.pipeline(transaction=True) as both:  # each doorbell brings one, and there is one slot
            both.lpush("queue:a", raw("Job", "a1"), raw("Job", "a2"))
            both.lpush("queue:b", raw("Job", "b1"), raw("Job", "b2"))
            both.execute()
        wait_until(lambda: gate.running)
        wait_until(lambda: len(in_flight(redis)) == 1, what="one job in flight")
        assert redis.llen("queue:a") + redis.llen("queue:b") == 3
        for queue in ("a", "b"):
            names = [raw("Job", f"{queue}{number}") for number in (1, 2)]
            assert waiting(redis, queue) in (names, names[1:]), "the oldest is next again"
        wait_until(lambda: redis.info("clients")[blocked] == 0, what="doorbells that let go without a free slot")
        gate.open.set()
        wait_until(lambda: stage.reports.fates.count("done") == 4)
    assert gate.most == 1


def test_each_capsule_has_its_own_slots_and_queues(redis: redis_py.Redis, redis_url: str, gate: Gate) -> None:
    capsules = {
        "default": {"concurrency": 2, "queues": ["default"]},
        "single": {"concurrency": 1, "queues": ["single"]},
    }
    with staged(redis_url, registry(Job=gate), capsules=capsules):
        push(redis, *(raw("Job", f"default{number}") for number in range(5)))
        push(redis, *(raw("Job", f"single{number}") for number in range(5)), queue="single")
        wait_until(lambda: len(gate.running) == 3)
        assert sorted(map(str, gate.running)) == ["default0", "default1", "single0"]
        wait_until(lambda: (redis.llen("queue:default"), redis.llen("queue:single")) == (3, 4))


def test_large_jobs_run_in_the_order_of_their_queues(redis: redis_py.Redis, redis_url: str) -> None:
    ran: list[int] = []
    note = "x" * 2 * LARGE
    push(redis, *(raw("Job", number, note=note) for number in range(40)), queue="first")
    push(redis, *(raw("Job", number, note=note) for number in range(40, 80)), queue="second")
    before = redis.info("commandstats").get("cmdstat_lmove", {"calls": 0})["calls"]
    with staged(redis_url, registry(Job=ran.append), queues=["first", "second"], concurrency=1) as stage:
        wait_until(lambda: len(stage.reports.settled) == 80)
    assert ran == list(range(80))
    assert redis.info("commandstats")["cmdstat_lmove"]["calls"] > before + 40, "most were claimed without a script"
    assert left(redis) == []


def test_a_queue_of_two_capsules_serves_both(redis: redis_py.Redis, redis_url: str, gate: Gate) -> None:
    capsules = {name: {"concurrency": 1, "queues": ["default"]} for name in ("default", "other")}
    with staged(redis_url, registry(Job=gate), capsules=capsules) as stage:
        push(redis, *(raw("Job", number) for number in range(4)))
        wait_until(lambda: len(gate.running) == 2)
        gate.open.set()
        wait_until(lambda: stage.reports.fates.count("done") == 4)
    assert Counter(gate.seen) == Counter(range(4))


# Foreign jobs.


def test_foreign_jobs_stay_in_order_while_ours_run(redis: redis_py.Redis, redis_url: str) -> None:
    ran: list[int] = []
    foreign = [raw("Ruby::Job", number) for number in range(30)]
    mixed = [job for number, one in enumerate(foreign) for job in (one, raw("Job", number))]
    push(redis, *mixed)
    with staged(redis_url, registry(Job=ran.append), concurrency=3) as stage:
        wait_until(lambda: len(ran) == 30)
        push(redis, raw("Job", 100))
        wait_until(lambda: 100 in ran)
        wait_until(lambda: waiting(redis) == foreign)
        assert stage.stop() is True
    assert Counter(ran) == Counter([*range(30), 100])
    assert in_flight(redis) == []
    assert waiting(redis) == foreign


def test_a_queue_that_ruby_has_emptied_is_popped_again(redis: redis_py.Redis, redis_url: str) -> None:
    push(redis, raw("Ruby::Job"))
    with staged(redis_url, registry(Job=lambda: None)) as stage:
        wait_until(lambda: stage.reports.fates == ["handed_back"])
        redis.delete("queue:default")
        wait_until(lambda: redis.info("clients")["blocked_clients"] == 1, what="a doorbell again")


def test_a_quiet_process_does_not_spin_on_a_shared_queue(redis: redis_py.Redis, redis_url: str) -> None:
    stage = Stage(redis_url, registry(Job=lambda: None))
    [pool] = stage.exchange._pools.values()
    pool.intake.dry = True
    pool.intake.selective.found_foreign("default", "Ruby::Job")
    assert stage.exchange._pause() == 0.0, "a look is due"
    stage.exchange.quiet()
    assert stage.exchange._pause() > 0.5
    stage.exchange._line.client.close()


# Answers that get lost.


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("note", ["", "x" * 2 * LARGE], ids=["small", "large"])
def test_lost_answers_neither_lose_a_job_nor_run_one_twice(
    redis: redis_py.Redis, redis_url: str, seed: int, note: str
) -> None:
    rng = random.Random(seed)
    ran: list[int] = []
    push(redis, *(raw("Job", number, note=note) for number in range(120)))
    flaky: list[Flaky] = []

    def client(real: redis_py.Redis) -> Flaky:
        flaky.append(Flaky(real))
        return flaky[0]

    with staged(redis_url, registry(Job=ran.append), client=client, concurrency=3) as stage:
        for number in range(6):
            before = flaky[0].executed + flaky[0].dropped  # before the push: after it, its last trip may be over
            push(redis, *(raw("Job", 1000 + 10 * number + one, note=note) for one in range(5)))
            wait_until(lambda: flaky[0].executed + flaky[0].dropped > before + rng.randrange(3))  # noqa: B023
            if rng.random() < 0.7:
                flaky[0].lost += 1
            else:
                flaky[0].refused += 1
        push(redis, raw("Job", 2000, note=note))
        wait_until(lambda: stage.reports.fates.count("done") >= 151, 20)
        assert stage.stop() is True
    assert flaky[0].dropped == 6
    expected = Counter([*range(120), *(1000 + 10 * number + one for number in range(6) for one in range(5)), 2000])
    assert Counter(ran) == expected
    # While Redis does not answer, what is claimed ahead may go back; nothing else becomes of a job but that it is done.
    fates = set(stage.reports.fates) - {"handed_back"}
    assert fates == {"done"}, "a job settled by an answer that got lost is not `taken over`"
    assert left(redis) == []


def test_a_claim_whose_answer_is_lost_is_found_in_flight(redis: redis_py.Redis, redis_url: str) -> None:
    ran: list[int] = []
    push(redis, *(raw("Job", number) for number in range(3)))

    def client(real: redis_py.Redis) -> Flaky:
        flaky = Flaky(real)
        flaky.lost = 1
        return flaky

    with staged(redis_url, registry(Job=ran.append), client=client, concurrency=3) as stage:
        wait_until(lambda: len(stage.reports.settled) == 3)
    assert sorted(ran) == [0, 1, 2]


def test_jobs_start_and_are_reported_while_redis_is_away(redis: redis_py.Redis, redis_url: str, gate: Gate) -> None:
    flaky: list[Flaky] = []

    def client(real: redis_py.Redis) -> Flaky:
        flaky.append(Flaky(real))
        return flaky[0]

    push(redis, raw("Job", 1))
    with staged(redis_url, registry(Job=gate), client=client, concurrency=1) as stage:
        wait_until(lambda: gate.running)
        flaky[0].refused = 3
        gate.open.set()
        wait_until(lambda: flaky[0].dropped >= 1)
        assert not stage.exchange.answering
        wait_until(lambda: stage.exchange.answering)
        wait_until(lambda: stage.reports.fates == ["done"])
    assert gate.seen == [1]


def test_a_redis_that_is_away_is_asked_less_and_less_often(redis: redis_py.Redis, redis_url: str) -> None:
    flaky: list[Flaky] = []

    def client(real: redis_py.Redis) -> Flaky:
        flaky.append(Flaky(real))
        flaky[0].refused = 10**6
        return flaky[0]

    with staged(redis_url, registry(Job=lambda: None), client=client) as stage:
        began = time.monotonic()
        wait_until(lambda: flaky[0].dropped >= 4)
        assert time.monotonic() - began > 0.5
        flaky[0].refused = 0
        push(redis, raw("Job"))
        wait_until(lambda: stage.reports.fates == ["done"])


@pytest.mark.system
def test_an_idle_exchange_that_is_cut_off_knows_it_until_redis_answers(
    redis: redis_py.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has nothing to send, so no answer fails to come: it was ready again a turn after each failed audit."""
    monkeypatch.setattr("pykiq.worker.doubt.AUDIT", 0.1)
    client: list[Flaky] = []
    with staged(redis_url, registry(), client=lambda real: client.append(Flaky(real)) or client[0]) as stage:
        wait_until(lambda: client[0].executed > 3 and stage.exchange.answering, what="an idle exchange")
        client[0].refused = 10**6
        wait_until(lambda: not stage.exchange.answering, what="a failed audit")
        seen = set()
        until = client[0].dropped + 6
        wait_until(lambda: seen.add(stage.exchange.answering) or client[0].dropped >= until, what="more failures")
        assert seen == {False}
        client[0].refused = 0
        wait_until(lambda: stage.exchange.answering, what="an answer")


def test_cut_connections_lose_nothing(redis: redis_py.Redis, redis_url: str) -> None:
    ran: list[int] = []

    def job(number: int) -> None:
        time.sleep(0.001)
        ran.append(number)

    push(redis, *(raw("Job", number) for number in range(400)))
    with staged(redis_url, registry(Job=job), concurrency=5) as stage:
        for number in range(5):
            wait_until(lambda: len(ran) > 30 * number)  # noqa: B023
            redis.client_kill_filter(_type="normal", skipme=True)
            push(redis, raw("Job", 1000 + number))
        wait_until(lambda: len(set(ran)) == 405, 20)
        wait_until(lambda: in_flight(redis) == [] and redis.llen("queue:default") == 0, 10)
        assert stage.stop() is True
    assert Counter(ran) == Counter([*range(400), *range(1000, 1005)])


def test_what_redis_moved_for_a_connection_that_is_gone_is_run(redis: redis_py.Redis, redis_url: str) -> None:
    ran: list[int] = []
    with staged(redis_url, registry(Job=ran.append)) as stage:
        redis.lpush(stage.berth.inflight("default"), raw("Job", 7))
        stage.exchange._doubt._audit_at = 0.0
        wait_until(lambda: ran == [7])
        wait_until(lambda: in_flight(redis) == [])


# What Redis refuses.


@pytest.mark.system
def test_a_queue_that_is_no_list_does_not_stop_the_others(redis: redis_py.Redis, redis_url: str) -> None:
    ran: list[int] = []
    redis.set("queue:broken", "text")
    push(redis, *(raw("Job", number) for number in range(10)))
    with staged(redis_url, registry(Job=ran.append), queues=["broken", "default"], concurrency=2) as stage:
        wait_until(lambda: len(ran) == 10)
        redis.delete("queue:broken")
        push(redis, raw("Job", 77), queue="broken")
        wait_until(lambda: 77 in ran)
        assert stage.stop() is True
    assert Counter(ran) == Counter([*range(10), 77])


@pytest.mark.system
def test_a_settlement_that_is_refused_waits_for_better_times_and_stops_no_other(
    redis: redis_py.Redis, redis_url: str
) -> None:
    def fails() -> None:
        raise ValueError("boom")

    redis.set("retry", "text")
    push(redis, raw("Fails"), raw("Job"))
    with staged(redis_url, registry(Fails=fails, Job=lambda: None)) as stage:
        wait_until(lambda: "done" in stage.reports.fates)
        assert in_flight(redis) == [raw("Fails")]
        redis.delete("retry")
        wait_until(lambda: "retry" in stage.reports.fates)
        assert stage.stop() is True
    assert sorted(stage.reports.fates) == ["done", "retry"]
    assert redis.zcard("retry") == 1


# Quiet and stop.


def test_a_quiet_exchange_takes_nothing_and_finishes_what_runs(
    redis: redis_py.Redis, redis_url: str, gate: Gate
) -> None:
    push(redis, raw("Job", "runs"))
    with staged(redis_url, registry(Job=gate), concurrency=2) as stage:
        wait_until(lambda: gate.running)
        stage.exchange.quiet()
        stage.quiet_turn()
        wait_until(lambda: stage.exchange.parked)
        push(redis, raw("Job", "late"))
        stage.quiet_turn()
        assert waiting(redis) == [raw("Job", "late")]
        gate.open.set()
        wait_until(lambda: stage.reports.fates == ["done"])
        assert stage.alive
        assert stage.stop() is True
    assert gate.seen == ["runs"]
    assert waiting(redis) == [raw("Job", "late")]


def test_a_doorbell_that_missed_its_unblocking_is_told_again_when_quiet(
    redis: redis_py.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unblock = redis_py.Redis.client_unblock
    asked: list[int] = []

    def too_early(client: redis_py.Redis, number: int) -> Any:
        asked.append(number)
        return unblock(client, number) if len(asked) > 1 else 0

    monkeypatch.setattr(redis_py.Redis, "client_unblock", too_early)
    with staged(redis_url, registry(Job=lambda: None)) as stage:
        wait_until(lambda: redis.info("clients")["blocked_clients"] == 1)
        stage.exchange.quiet()
        wait_until(lambda: redis.info("clients")["blocked_clients"] == 0, BLOCK / 2, "a second CLIENT UNBLOCK")
        push(redis, raw("Job"))
        stage.quiet_turn()
        assert waiting(redis) == [raw("Job")]
        assert stage.reports.fates == []


def test_a_stop_waits_for_running_jobs(redis: redis_py.Redis, redis_url: str, gate: Gate) -> None:
    push(redis, raw("Job"))
    with staged(redis_url, registry(Job=gate)) as stage:
        wait_until(lambda: gate.running)
        threading.Timer(0.2, gate.open.set).start()
        assert stage.stop(timeout=10) is True
    assert stage.reports.fates == ["done"]
    assert left(redis) == []


@pytest.mark.parametrize("kind", ["thread", "task"])
def test_at_the_deadline_a_job_is_put_back_first_and_then_interrupted(
    redis: redis_py.Redis, redis_url: str, kind: str
) -> None:
    started = threading.Event()
    found: list[Any] = []

    def job() -> None:
        started.set()
        try:
            while True:
                time.sleep(0.005)
        except Interrupted:
            found.append((waiting(redis), in_flight(redis)))
            raise

    async def task() -> None:
        started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            found.append((waiting(redis), in_flight(redis)))
            raise

    payload = raw("Job", unknown="kept", big=12345678901234567890123)
    push(redis, payload)
    with staged(redis_url, registry(Job=job if kind == "thread" else task)) as stage:
        assert started.wait(5)
        assert stage.stop(timeout=0.1) is True
    assert found == [([payload], [])]
    assert waiting(redis) == [payload]
    assert stage.reports.fates == ["requeued"]


def test_jobs_put_back_at_the_deadline_are_next_in_order(redis: redis_py.Redis, redis_url: str, gate: Gate) -> None:
    jobs = [raw("Job", number) for number in range(6)]
    push(redis, *jobs)
    with staged(redis_url, registry(Job=gate), concurrency=3) as stage:
        wait_until(lambda: len(gate.running) == 3)
        assert stage.stop(timeout=0.05) is True
    assert waiting(redis) == jobs
    assert sorted(map(str, gate.interrupted)) == ["0", "1", "2"]


def test_a_job_that_swallows_the_interruption_changes_nothing(redis: redis_py.Redis, redis_url: str) -> None:
    started = threading.Event()

    def stubborn() -> None:
        started.set()
        try:
            while True:
                time.sleep(0.005)
        except BaseException:
            return

    push(redis, raw("Job"))
    with staged(redis_url, registry(Job=stubborn)) as stage:
        assert started.wait(5)
        assert stage.stop(timeout=0.05) is True
    assert waiting(redis) == [raw("Job")]
    assert stage.reports.fates == ["requeued"]


def test_a_job_past_its_timeout_is_retried_and_its_thread_goes_on(redis: redis_py.Redis, redis_url: str) -> None:
    threads: list[object] = []

    def handle(seconds: float) -> None:
        threads.append(threading.get_ident())
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.001)

    push(redis, raw("Job", 10, timeout=0.05), raw("Job", 0))
    with staged(redis_url, registry(Job=handle), concurrency=1) as stage:
        wait_until(lambda: len(stage.reports.fates) == 2, 5, "both jobs settled")
        assert stage.reports.fates == ["retry", "done"]
    assert len(set(threads)) == 1
    (entry,) = redis.zrange("retry", 0, -1)
    assert loads(entry)["error_class"] == "pykiq.errors.JobTimeout"


def test_a_stop_without_redis_says_that_not_all_is_settled(
    redis: redis_py.Redis, redis_url: str, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykiq.worker.exchange.LAST_WORD", 0.5)
    flaky: list[Flaky] = []

    def client(real: redis_py.Redis) -> Flaky:
        flaky.append(Flaky(real))
        return flaky[0]

    push(redis, raw("Job"))
    with staged(redis_url, registry(Job=gate), client=client) as stage:
        wait_until(lambda: gate.running)
        flaky[0].refused = 10**6
        assert stage.stop(timeout=0.05) is False
    assert in_flight(redis) == [raw("Job")], "whoever sweeps takes it over"


def test_no_thread_outlives_the_stop(redis: redis_py.Redis, redis_url: str, gate: Gate) -> None:
    async def task() -> None:
        await asyncio.sleep(0)

    push(redis, raw("Job", 1), raw("Task"), raw("Job", 2))
    with staged(redis_url, registry(Job=gate, Task=task), queues=["default", "other"]) as stage:
        wait_until(lambda: len(gate.running) == 2 and "done" in stage.reports.fates)
        stage.stop(timeout=0.05)
    wait_until(gone_quiet, 5, "the end of all threads")


def test_an_idle_stop_takes_no_time(redis: redis_py.Redis, redis_url: str) -> None:
    with staged(redis_url, registry(Job=lambda: None), queues=["a", "b", "c"]) as stage:
        wait_until(lambda: redis.info("clients")["blocked_clients"] == 3)
        began = time.monotonic()
        assert stage.stop() is True
    assert time.monotonic() - began < BLOCK


def test_doorbells_that_were_cut_off_while_idle_do_not_delay_the_stop(
    redis: redis_py.Redis, redis_url: str, gate: Gate
) -> None:
    push(redis, raw("Job", 1))
    with staged(redis_url, registry(Job=gate), concurrency=1) as stage:
        wait_until(lambda: gate.running)
        wait_until(lambda: redis.info("clients")["blocked_clients"] == 0)
        redis.client_kill_filter(_type="normal", skipme=True)  # the doorbell's connection is replaced unseen
        gate.open.set()
        wait_until(lambda: redis.info("clients")["blocked_clients"] == 1)
        began = time.monotonic()
        assert stage.stop() is True
    assert time.monotonic() - began < BLOCK


# Reports.


def test_a_start_is_reported_while_the_job_runs(redis: redis_py.Redis, redis_url: str, gate: Gate) -> None:
    with staged(redis_url, registry(Job=gate), concurrency=1) as stage:
        wait_until(lambda: redis.info("clients")["blocked_clients"] == 1)
        push(redis, raw("Job", 1))
        wait_until(lambda: stage.reports.lines == [("start", "Job")], 3, "a start line")
        wait_until(lambda: gate.running)  # it is told of a moment before


def test_a_start_that_comes_after_the_look_is_reported_soon(
    redis: redis_py.Redis, redis_url: str, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exchange has looked, the slot's thread wakes a moment later, and then nothing happens for long."""

    class Late(deque[Started]):
        def append(self, started: Started) -> None:
            time.sleep(0.05)
            super().append(started)

    monkeypatch.setattr("pykiq.worker.exchange.IDLE", 30.0)
    stage = Stage(redis_url, registry(Job=gate))
    stage.exchange._pools["default"].threads.started = Late()
    push(redis, raw("Job", 1))
    stage.start()
    wait_until(lambda: stage.reports.lines == [("start", "Job")], 5, "a start line")
    gate.open.set()
    assert stage.stop() is True


def test_every_start_is_reported_before_its_end(redis: redis_py.Redis, redis_url: str) -> None:
    handlers = registry(**{f"Job{number}": lambda: None for number in range(200)})
    push(redis, *(raw(f"Job{number}") for number in range(200)))
    with staged(redis_url, handlers, concurrency=4) as stage:
        wait_until(lambda: stage.reports.fates.count("done") == 200)
    lines = [
        (line, name) for line, name in stage.reports.lines if line != "handed_back"
    ]  # on a machine that stood still
    for number in range(200):
        assert [line for line, name in lines if name == f"Job{number}"] == ["start", "done"]


def test_an_observer_that_hangs_stops_no_job(redis: redis_py.Redis, redis_url: str) -> None:
    let_go = threading.Event()

    class Slow:
        def started(self, batch: object) -> None:
            let_go.wait(20)

        def settled(self, batch: object) -> None:
            let_go.wait(20)

    ran: list[int] = []
    reporter = Reporter([Slow()], Lifecycle())
    reporter.start()
    push(redis, *(raw("Job", number) for number in range(100)))
    with staged(redis_url, registry(Job=ran.append), report=reporter) as stage:
        wait_until(lambda: len(ran) == 100 and in_flight(redis) == [])
        assert stage.stop() is True
    let_go.set()
    reporter.close(5)


def test_a_child_task_that_exits_does_not_stop_the_other_async_jobs(redis: redis_py.Redis, redis_url: str) -> None:
    async def exits() -> None:
        async def child() -> None:
            raise SystemExit(3)

        spawned = asyncio.create_task(child())
        await asyncio.wait([spawned])
        spawned.exception()

    async def task() -> None:
        await asyncio.sleep(0)

    with staged(redis_url, registry(Exits=exits, Task=task), concurrency=2) as stage:
        push(redis, raw("Exits"))
        wait_until(lambda: stage.reports.fates == ["done"])
        push(redis, raw("Task"))
        wait_until(lambda: stage.reports.fates == ["done", "done"])


@pytest.mark.parametrize(
    "odd",
    [
        raw("Job", jid=5),
        b'{"class":"Job","args":[],"jid":' + b"1" * 6000 + b"}",
        b'{"class":"Job","args":[],"expires_in":' + b"9" * 400 + b',"created_at":1.5}',
        b'{"class":"Job","args":[],"jid":["a"],"queue":null,"tags":5,"wrapped":7}',
        b'{"class":"Job","args":[],"jid":"\xff\xfe"}',
        b'{"class":"Job","args":[1,2,3,4],"jid":null,"retry_count":' + b"9" * 400 + b"}",
        b"\xff\xfe\x00",
        b"",
    ],
    ids=["jid-number", "jid-huge", "expires-huge", "types", "jid-bytes", "count-huge", "binary", "empty"],
)
def test_an_odd_payload_stops_neither_the_loop_nor_a_slot(redis: redis_py.Redis, redis_url: str, odd: bytes) -> None:
    handlers = registry(Job=lambda: None)
    with staged(redis_url, handlers, concurrency=1) as stage:
        push(redis, odd, raw("Job", jid="after"))
        wait_until(lambda: len(stage.reports.settled) == 2)
        assert stage.reports.settled[-1].outcome.jid == "after"
        assert stage.stop() is True
    assert in_flight(redis) == []


def test_work_is_spread_over_the_look_ahead_but_slow_jobs_are_not_hoarded(
    redis: redis_py.Redis, redis_url: str, gate: Gate
) -> None:
    """Quick jobs have made the look-ahead grow; then slow ones come, of which no more than the slots are kept."""
    push(redis, *(raw("Quick", number) for number in range(2000)), *(raw("Slow", number) for number in range(50)))
    done: Callable[[int], None] = lambda number: None  # noqa: E731
    handlers = registry(Quick=done, Slow=gate)
    with staged(redis_url, handlers, concurrency=2) as stage:
        wait_until(lambda: len(gate.running) == 2)
        wait_until(lambda: len(in_flight(redis)) == 2, 5, "no more than the slots in flight")
        assert waiting(redis) == [raw("Slow", number) for number in range(2, 50)]
        gate.open.set()
        wait_until(lambda: stage.reports.fates.count("done") == 2050)


def test_handlers_with_hooks_are_asked_in_the_worker(redis: redis_py.Redis, redis_url: str) -> None:
    def fails() -> None:
        raise ValueError("boom")

    handlers = registry()
    handlers.register(handler("Fails", fails, retry_in=lambda count, error: 1000))
    push(redis, raw("Fails"))
    with staged(redis_url, handlers) as stage:
        wait_until(lambda: stage.reports.fates == ["retry"])
    [(_, at)] = redis.zrange("retry", 0, -1, withscores=True)
    assert 990 < at - time.time() < 1020


def test_more_than_the_room_is_never_accepted(redis: redis_py.Redis, redis_url: str, gate: Gate) -> None:
    stage = Stage(redis_url, registry(Job=gate), concurrency=2)
    [pool] = stage.exchange._pools.values()
    stage.exchange._accept(pool, [claimed(raw("Job", number)) for number in range(5)])
    assert [loads(one.claimed.raw)["args"] for one in stage.exchange._flight.unsettled] == [[2], [3], [4]]
    assert pool.busy == 2
    gate.open.set()
    wait_until(lambda: not gate.running and len(gate.seen) == 2)
    pool.close()


def test_what_arrived_in_the_last_moment_goes_back(redis: redis_py.Redis, redis_url: str) -> None:
    with staged(redis_url, registry(Job=lambda: None)) as stage:
        wait_until(lambda: redis.info("clients")["blocked_clients"] == 1)
        redis.lpush(stage.berth.inflight("default"), raw("Job", "unknown here"))
        assert stage.stop() is True
    assert waiting(redis) == [raw("Job", "unknown here")]
    assert in_flight(redis) == []


def test_a_paused_queue_keeps_its_jobs_until_it_is_resumed(redis: redis_py.Redis, redis_url: str) -> None:
    with staged(redis_url, registry(Job=lambda name: None), queues=["low", "high"]) as stage:
        wait_until(lambda: redis.info("clients")["blocked_clients"] == 2, 5, "both doorbells")
        stage.exchange.pause(frozenset({"low"}))
        wait_until(lambda: redis.info("clients")["blocked_clients"] == 1, 5, "one of them to be taken down")
        push(redis, raw("Job", "low", queue="low"), queue="low")
        push(redis, raw("Job", "high", queue="high"), queue="high")
        wait_until(lambda: stage.reports.fates == ["done"], 5, "the job of the other queue")
        assert redis.llen("queue:low") == 1
        stage.exchange.pause(frozenset())
        wait_until(lambda: stage.reports.fates == ["done", "done"], 5, "the job that waited")
    assert left(redis) == []

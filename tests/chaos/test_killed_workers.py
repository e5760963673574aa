"""Worker processes that die without a word: kill -9 at random moments, takeovers, poison pills."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable

import pytest
import redis

from pykiq.store.claim import LARGE
from tests.chaos.fleet import Fleet, Worker, account, finish, in_flight, left, mixed, moments, payload, portions, push
from tests.servers import wait_until

JOBS = 1000
KILLS = 6


@pytest.mark.parametrize("note", ["", "x" * 2 * LARGE], ids=["small", "large"])
def test_no_job_is_lost_when_the_only_worker_is_killed_again_and_again(
    crew: Fleet, store: redis.Redis, rng: random.Random, say: Callable[[object], None], note: str
) -> None:
    moment = moments(rng, 0.02, 0.8)
    for portion in portions(mixed(JOBS, rng, note=note), KILLS):
        push(store, portion)
        worker = crew.start("-c", "5")
        if rng.random() < 0.8:
            worker.ready()  # else it is killed while it starts
        moment()
        worker.kill()
    survivor = crew.start("-c", "10").ready()
    finish(store)
    report = account(store, crew.ledger, JOBS)
    say(f"{report}, {KILLS} kills")
    assert report.lost == []
    assert survivor.stop() == 0
    assert in_flight(store) == []


def test_no_job_is_lost_when_two_workers_are_killed_in_turn_and_each_takes_over_from_the_other(
    crew: Fleet, store: redis.Redis, rng: random.Random, say: Callable[[object], None]
) -> None:
    moment = moments(rng, 0.02, 0.6)
    living = [crew.start("-c", "3").ready(), crew.start("-c", "3").ready()]
    for portion in portions(mixed(JOBS, rng), KILLS):
        push(store, portion)
        moment()
        living.pop(0).kill()
        living.append(crew.start("-c", "3").ready())
    finish(store)
    report = account(store, crew.ledger, JOBS)
    say(f"{report}, {KILLS} kills, {sum(worker.said('took_over') for worker in crew.workers)} workers took jobs over")
    assert report.lost == []
    assert [worker.stop() for worker in living] == [0, 0]
    assert in_flight(store) == []


def test_no_due_job_is_lost_when_the_process_that_looks_for_them_is_killed_again_and_again(
    crew: Fleet, store: redis.Redis, rng: random.Random, say: Callable[[object], None]
) -> None:
    def join() -> None:
        worker = crew.start("-c", "3").ready()
        living[worker.told("running")[0]["identity"]] = worker

    def leader() -> str:
        return (store.get("pykiq:poller") or b"").decode()

    living: dict[str, Worker] = {}
    for _ in range(3):
        join()
    now = time.time()
    store.zadd("schedule", {payload(number): now + rng.uniform(0.0, 8.0) for number in range(JOBS)})
    for _ in range(3):
        wait_until(lambda: leader() in living, 20, "one of them that looks")
        living.pop(leader()).kill()
        join()
    wait_until(lambda: not store.zcard("schedule"), 30, "nothing due any more")
    finish(store)
    report = account(store, crew.ledger, JOBS)
    say(f"{report}, 3 kills")
    assert report.lost == []
    assert [worker.stop() for worker in living.values()] == [0, 0, 0]
    assert in_flight(store) == []


def test_a_live_process_takes_over_within_20_seconds_with_the_settings_nobody_changed(
    crew: Fleet, store: redis.Redis, say: Callable[[object], None]
) -> None:
    push(store, [payload(number, "HeldJob") for number in range(5)])
    doomed = crew.start("-c", "5", settings={}).ready()
    wait_until(lambda: len(crew.ledger.count("held")) == 5, 10, "five jobs running")
    heir = crew.start("-c", "5", settings={}).ready()
    doomed.kill()
    killed = time.monotonic()
    wait_until(lambda: len(crew.ledger.count()) == 5, 20, "the jobs of a killed process done elsewhere")
    say(f"5 jobs taken over and done {time.monotonic() - killed:.1f} s after kill -9")
    assert {where for what, _, where, _ in crew.ledger.lines() if what == "done"} == {heir.name}
    assert heir.stop() == 0
    assert in_flight(store) == []


def test_a_due_job_just_before_a_sweep_does_not_put_the_sweep_off(crew: Fleet, store: redis.Redis) -> None:
    """Else a takeover may come a whole sweep later than promised."""
    settings = {"lease_ttl": 4.0, "sweep_interval": 2.0, "poll_interval": 60.0}
    worker = crew.start(settings=settings).ready()
    seen: list[float] = []
    left: list[int] = [0]

    def swept() -> bool:
        """Who sweeps makes that its own for four seconds more."""
        left.append(store.pttl("pykiq:sweep"))
        if left[-1] > left[-2]:
            seen.append(time.monotonic())
            return True
        return False

    wait_until(swept, 10, "a sweep")
    store.zadd("schedule", {payload(1): time.time() + 1.8})
    wait_until(swept, 10, "the next sweep")
    wait_until(lambda: crew.ledger.count()[1], 10, "the due job done")
    assert worker.stop() == 0
    assert seen[1] - seen[0] < 3.0


def test_a_job_that_kills_its_process_three_times_ends_in_dead_and_the_others_are_done(
    crew: Fleet, store: redis.Redis, say: Callable[[object], None]
) -> None:
    push(store, [payload(7, "PoisonJob"), *(payload(number) for number in range(5))])

    def buried() -> bool:
        return int(store.zcard("dead")) == 1

    def ended() -> bool:
        return crew.workers[-1].process.poll() is not None

    deaths = 0
    worker = crew.start("-c", "1", settings={"lease_ttl": 0.6, "sweep_interval": 0.2})
    while not buried():
        wait_until(lambda: buried() or ended(), 15, "a dead worker or a dead job")
        if ended():
            deaths += 1
            assert deaths <= 3, "the poison pill ran a fourth time"
            worker = crew.start("-c", "1", settings={"lease_ttl": 0.6, "sweep_interval": 0.2})
    worker.ready()
    finish(store)
    (entry,) = store.zrange("dead", 0, -1)
    job = json.loads(entry)
    say(f"dead after {deaths} deaths: {job['error_class']}: {job['error_message']}")
    assert deaths == crew.ledger.count("poison")[7] == 3
    assert (job["args"], job["jid"], job["error_class"]) == ([7], f"{7:024x}", "pykiq.PoisonPill")
    assert sorted(crew.ledger.count()) == list(range(5))
    wait_until(lambda: crew.ledger.count("mourned-by-PoisonPill")[7], 10, "the death handler told")
    assert worker.stop() == 0
    (line,) = worker.told("poison_pill")
    assert (line["class"], line["jid"], line["queue"], line["level"]) == ("PoisonJob", f"{7:024x}", "default", "error")
    said = [line for one in crew.workers for line in one.told("job_taken_over") if line["class"] == "PoisonJob"]
    running = {line["identity"] for one in crew.workers[:-1] for line in one.told("running")}
    assert len({line["identity"] for line in said} & running) == 2, "each that put it back has named it, and died"
    assert sum(line["dead"] for line in worker.told("took_over")) == 1
    assert crew.ledger.count("mourned-by-PoisonPill") == {7: 1}


def test_a_poison_pill_takes_none_of_the_jobs_beside_it_along(
    crew: Fleet, store: redis.Redis, say: Callable[[object], None]
) -> None:
    """They run beside it at both of its first deaths; at the third it is alone."""
    beside = [payload(number, "QuickJob", 0.5) for number in range(6)]
    push(store, [*beside[:3], payload(7, "PoisonJob"), *beside[3:]])
    impatient = {"lease_ttl": 0.6, "sweep_interval": 0.2}
    crew.start("-c", "10", settings=impatient)

    def over() -> bool:
        if crew.workers[-1].process.poll() is not None:
            crew.start("-c", "10", settings=impatient)
        return left(store) == 0

    wait_until(over, 60, "every job done or dead")
    report = account(store, crew.ledger, 6)
    say(f"{report}, {crew.ledger.count('poison')[7]} deaths")
    assert report.lost == []
    assert [json.loads(entry)["args"] for entry in store.zrange("dead", 0, -1)] == [[7]]
    assert crew.ledger.count("poison")[7] == 3
    assert crew.workers[-1].ready().stop() == 0

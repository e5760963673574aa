"""`pykiq run --processes`: children and parents that are killed under load, hang, grow, and are told to stop."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
import urllib.request
from collections.abc import Callable

import pytest
import redis

from tests.chaos.fleet import Fleet, account, finish, in_flight, mixed, moments, payload, portions, push
from tests.servers import free_port, wait_until

JOBS = 1000


def exists(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about yet does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def scrape(port: int) -> dict[str, float]:
    """Every sample of /metrics, by name with labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


def test_no_job_is_lost_when_children_are_killed_again_and_again_and_each_is_replaced(
    crew: Fleet, store: redis.Redis, rng: random.Random, say: Callable[[object], None]
) -> None:
    # The leases outlive the test: what is taken over is taken over because the parent has seen the end.
    swarm = crew.start("--processes", "3", "-c", "3", settings={"lease_ttl": 120, "poll_interval": 0.2}).ready(3)
    moment, killed = moments(rng, 0.02, 0.4), set[int]()
    for portion in portions(mixed(JOBS, rng), 6):
        push(store, portion)
        moment()
        wait_until(lambda: set(swarm.children()) - killed, 40, "a child that has not been killed")
        victim = rng.choice(sorted(set(swarm.children()) - killed))
        os.kill(victim, signal.SIGKILL)
        killed.add(victim)
    finish(store)
    report = account(store, crew.ledger, JOBS)
    say(f"{report}, {len(killed)} children killed")
    assert len(killed) == 6
    assert report.lost == []
    wait_until(lambda: len(swarm.children()) == 3, 40, "three children again")
    assert {line["pid"] for line in swarm.told("child_crashed")} == killed
    assert {line["how"] for line in swarm.told("child_crashed")} == {"signal SIGKILL"}
    assert swarm.stop() == 0
    assert in_flight(store) == []


def test_no_job_is_lost_and_nobody_is_left_running_when_the_parent_is_killed_under_load(
    crew: Fleet, store: redis.Redis, rng: random.Random, say: Callable[[object], None]
) -> None:
    push(store, mixed(JOBS, rng))
    moment = moments(rng, 0.1, 0.5)
    for _ in range(2):
        swarm = crew.start("--processes", "2", "-c", "3", "-t", "1").ready(2)
        others = [*swarm.children(), swarm.told("keeper_started")[0]["pid"]]
        moment()
        swarm.kill()
        wait_until(lambda others=others: not any(map(exists, others)), 20, "the end of its children")  # type: ignore[misc]
        assert len(swarm.told("parent_gone")) == 2
        assert [line["clean"] for line in swarm.told("stopped")] == [True, True]
        assert in_flight(store) == []
    survivor = crew.start("-c", "10").ready()
    finish(store)
    report = account(store, crew.ledger, JOBS)
    say(f"{report}, the parent killed twice")
    assert report.lost == []
    assert survivor.stop() == 0
    assert in_flight(store) == []


def test_a_poison_pill_of_a_swarm_is_told_to_the_log_the_metrics_and_the_death_handlers(
    crew: Fleet, store: redis.Redis
) -> None:
    port = free_port()
    swarm = crew.start("--processes", "1", "-c", "1", "--metrics-port", str(port)).ready()
    push(store, [payload(7, "PoisonJob")])
    wait_until(lambda: store.zcard("dead"), 40, "the job in `dead`")
    wait_until(lambda: crew.ledger.count("mourned-by-PoisonPill")[7], 10, "the death handler told")
    (line,) = swarm.told("poison_pill")
    assert (line["class"], line["jid"], line["queue"]) == ("PoisonJob", f"{7:024x}", "default")
    said = [(line["class"], line["jid"]) for line in swarm.told("job_taken_over")]
    assert said == [("PoisonJob", f"{7:024x}")] * 2
    assert [line["dead"] for line in swarm.told("took_over")] == [0, 0, 1]
    found = scrape(port)
    assert found["pykiq_poison_pills_total"] == 1
    assert found['pykiq_jobs_total{class="PoisonJob",outcome="dead",queue="default"}'] == 1
    assert swarm.stop() == 0
    (where,) = {where for what, _, where, _ in crew.ledger.lines() if what.startswith("mourned")}
    assert where == f"w0/{swarm.told('keeper_started')[0]['pid']}"


def test_a_child_whose_handler_holds_the_interpreter_past_its_lease_keeps_its_jobs(
    crew: Fleet, store: redis.Redis
) -> None:
    swarm = crew.start("--processes", "2", "-c", "1", settings={"lease_ttl": 1.0, "sweep_interval": 0.2}).ready(2)
    push(store, [payload(1, "GreedyJob", 2.5)])
    wait_until(lambda: crew.ledger.count("greedy")[1], 10, "the job running")
    push(store, [payload(2)])
    wait_until(lambda: crew.ledger.count()[1], 20, "the job done")
    assert crew.ledger.count("greedy")[1] == crew.ledger.count()[2] == 1
    assert not swarm.said("took_over")
    assert swarm.stop() == 0
    assert in_flight(store) == []


def test_a_child_above_its_memory_is_replaced_at_once_and_finishes_what_it_runs(
    crew: Fleet, store: redis.Redis
) -> None:
    swarm = crew.start("--max-rss", "150", "-c", "2", "-t", "0.1").ready()
    (first,) = swarm.children()
    push(store, [payload(1, "LeakyJob", 200)])
    wait_until(lambda: len(swarm.told("running")) == 2, 20, "a second child")
    assert crew.ledger.count("leaked")[1] == 1
    push(store, [payload(2)])
    wait_until(lambda: crew.ledger.count()[2], 10, "a job done beside it")
    assert exists(first)
    assert not swarm.told("stopping"), "it is not told to stop before its jobs are done: the time-out would end them"
    (crew.folder / "release").touch()
    wait_until(lambda: crew.ledger.count()[1], 10, "the job of the first child done")
    wait_until(lambda: not exists(first), 20, "the end of the first child")
    wait_until(lambda: swarm.told("child_stopped"), 10, "the parent's word on it")
    where = {number: where for what, number, where, _ in crew.ledger.lines() if what == "done"}
    assert where[1] == f"w0/{first}"
    assert where[2] != where[1]
    assert swarm.told("child_recycled")[0]["pid"] == first
    assert swarm.stop() == 0
    assert crew.ledger.count("leaked")[1] == 1
    assert in_flight(store) == []


def test_one_port_tells_about_all_children_and_its_counters_survive_a_crash(crew: Fleet, store: redis.Redis) -> None:
    port = free_port()
    swarm = crew.start("--processes", "2", "-c", "5", "--metrics-port", str(port)).ready(2)
    done = 'pykiq_jobs_total{class="QuickJob",outcome="done",queue="default"}'
    push(store, [payload(number, "QuickJob", 0.01) for number in range(100)])
    finish(store)
    wait_until(lambda: scrape(port).get(done) == 100, 10, "a hundred jobs counted")
    found = scrape(port)
    assert [found[f"pykiq_{name}"] for name in ("children", "concurrency", "busy", "redis_up")] == [2, 10, 0, 1]
    assert min(found['pykiq_child_rss_bytes{child="0"}'], found['pykiq_child_rss_bytes{child="1"}']) > 1_000_000
    assert len({where for _, _, where, _ in crew.ledger.lines()}) == 2, "both have worked"
    assert store.scard("processes") == 2
    wait_until(lambda: swarm.process.poll() is None and urllib.request.urlopen(f"http://127.0.0.1:{port}/ready"))
    os.kill(swarm.children()[0], signal.SIGKILL)
    wait_until(lambda: len(swarm.told("running")) == 3, 20, "the replacement")
    push(store, [payload(number) for number in range(100, 110)])
    wait_until(lambda: scrape(port)[done] == 110, 10, "ten more jobs counted")
    assert scrape(port)['pykiq_child_ends_total{reason="crashed"}'] == 1
    os.kill(swarm.told("keeper_started")[0]["pid"], signal.SIGKILL)
    wait_until(lambda: swarm.told("keeper_crashed"), 10, "the parent's word on it")
    assert scrape(port)["pykiq_children"] == 2
    assert swarm.stop() == 0


def test_forked_children_draw_different_numbers(crew: Fleet, store: redis.Redis) -> None:
    swarm = crew.start("--processes", "2", "-c", "1").ready(2)
    push(store, [payload(number, "RandomJob") for number in range(6)])
    wait_until(lambda: len(crew.ledger.count()) == 6, 20, "six jobs done")
    drawn = [path.read_text().split() for path in crew.folder.glob("drawn-*")]
    assert len(drawn) == 2
    assert len({number for number, _ in drawn}) == len({jid for _, jid in drawn}) == 2
    jids = [json.loads(entry)["jid"] for entry in store.lrange("queue:ruby", 0, -1)]
    assert len(set(jids)) == 6
    nonces = {line["identity"].rpartition(":")[2] for line in swarm.told("running")}
    assert len(nonces) == 2
    assert swarm.stop() == 0


def test_signals_reach_every_child_and_the_parent_ends_when_they_have(crew: Fleet, store: redis.Redis) -> None:
    swarm = crew.start("--processes", "2", "-c", "1").ready(2)
    push(store, [payload(number, "HeldJob") for number in range(2)])
    wait_until(lambda: len(crew.ledger.count("held")) == 2, 10, "both children busy")
    swarm.signal(signal.SIGTTIN)
    wait_until(lambda: len({line["of"] for line in swarm.told("stack")}) > 3, 10, "stacks")
    swarm.signal(signal.SIGTSTP)
    wait_until(lambda: len(swarm.told("quiet")) == 3, 10, "quiet in all three")
    push(store, [payload(2)])
    for _ in range(2):
        swarm.signal(signal.SIGTERM)
    wait_until(lambda: len(swarm.told("stopping")) == 3, 10, "stopping in all three")
    assert all(map(exists, swarm.children()))
    (crew.folder / "release").touch()
    assert swarm.process.wait(20) == 0
    assert len(crew.ledger.count("released")) == 2
    assert crew.ledger.count()[2] == 0
    assert store.llen("queue:default") == 1
    assert store.hlen("pykiq:owners") == 0


@pytest.mark.parametrize("moment", ["quiet", "stop"])
def test_a_child_that_crashes_when_the_end_has_begun_is_not_replaced_and_the_exit_code_says_so(
    crew: Fleet, store: redis.Redis, moment: str
) -> None:
    swarm = crew.start("--processes", "1", "-c", "1").ready()
    push(store, [payload(1, "HeldJob")])
    wait_until(lambda: crew.ledger.count("held")[1], 10, "the job running")
    swarm.signal(signal.SIGTSTP if moment == "quiet" else signal.SIGTERM)
    wait_until(lambda: len(swarm.told("quiet")) == (2 if moment == "quiet" else 1), 10, "quiet")
    os.kill(swarm.children()[0], signal.SIGKILL)
    assert swarm.process.wait(20) == 1
    assert len(swarm.told("child_started")) == 1
    assert swarm.told("took_over")[0]["jobs"] == 1
    assert store.llen("queue:default") == 1
    assert in_flight(store) == []


def test_a_stop_from_the_dashboard_stops_one_child_and_the_last_one_ends_the_parent(
    crew: Fleet, store: redis.Redis
) -> None:
    swarm = crew.start("--processes", "2", "--wire", "6").ready(2)  # beats every 5 s, as 6.4 does
    for identity in store.smembers("processes"):
        store.lpush(f"{identity.decode()}-signals", "TERM")
    assert swarm.process.wait(20) == 0
    assert [line["next"] for line in swarm.told("child_stopped")] == ["not replaced: it was told to stop"] * 2
    assert len(swarm.told("child_started")) == 2


def test_a_child_that_dies_at_every_start_is_replaced_more_and_more_slowly(crew: Fleet) -> None:
    swarm = crew.start("--processes", "1")
    began = time.monotonic()
    while len(swarm.told("child_crashed")) < 3:
        for pid in swarm.children():
            with contextlib.suppress(ProcessLookupError):  # it has ended, and the line that says so is being written
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
        assert time.monotonic() - began < 40
    said = [line["next"].partition("; ")[2] for line in swarm.told("child_crashed")[:3]]
    assert said == ["replaced at once", "replaced in 1 s", "replaced in 2 s"]
    assert swarm.stop() == 0

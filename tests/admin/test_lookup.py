"""A job is found by its jid alone, in every place where a job can be, and while it moves from one to another."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis as redis_py

from pykiq import Client
from pykiq.admin import FoundJob, SortedEntry, find_jobs
from pykiq.admin.lookup import Lookup
from pykiq.store import inflight, queues, sets
from tests.admin.conftest import failed, packed
from tests.admin.test_fleet import restore
from tests.captures import VERSIONS, read

JID = f"{1:024x}"
ALIVE, GONE, RUBY = "web-1:10:aaaaaaaaaaaa", "web-2:20:bbbbbbbbbbbb", "app-1:30:cccccccccccc"


def hold(redis: redis_py.Redis, identity: str, queue: str, *jobs: bytes, alive: bool = True) -> None:
    """As if that process had claimed them."""
    redis.hset("pykiq:owners", identity, json.dumps([queue]))
    redis.rpush(f"pykiq:inflight:{identity}:{queue}", *jobs)
    if alive:
        redis.set(f"pykiq:lease:{identity}", identity)


def show_running(redis: redis_py.Redis, identity: str, job: bytes, run_at: float, key: str = "work") -> None:
    """As a heartbeat tells it."""
    redis.sadd("processes", identity)
    redis.hset(identity, mapping={"info": "{}", "busy": 1, "beat": time.time()})
    record = {"queue": "low", "payload": job.decode("utf-8", "replace"), "run_at": int(run_at)}
    thread = "thread" if not redis.exists(f"{identity}:{key}") else f"thread-{time.time_ns()}"
    redis.hset(f"{identity}:{key}", thread, json.dumps(record))


def only(found: list[FoundJob]) -> FoundJob:
    assert len(found) == 1, found
    return found[0]


PLACES: dict[str, Callable[[redis_py.Redis, bytes], object]] = {
    "queue": lambda redis, job: (redis.sadd("queues", "low"), redis.lpush("queue:low", job)),
    "schedule": lambda redis, job: redis.zadd("schedule", {job: 5.5}),
    "retry": lambda redis, job: redis.zadd("retry", {job: 5.5}),
    "dead": lambda redis, job: redis.zadd("dead", {job: 5.5}),
    "in flight": lambda redis, job: hold(redis, ALIVE, "low", job),
    "running": lambda redis, job: show_running(redis, RUBY, job, 5.0),
}


def fill(redis: redis_py.Redis) -> None:
    """Other jobs in every place, more than a page of them; some name our jid among their arguments."""
    for number in range(100, 1300):
        for put in (PLACES["queue"], PLACES["retry"]):
            put(redis, packed(number, args=[JID] if number % 100 == 0 else [number]))
    for put in PLACES.values():
        put(redis, packed(3, args=[JID]))
        put(redis, JID.encode() + b" in no job")


@pytest.mark.parametrize("state", PLACES)
def test_it_is_found_in_every_place_among_many_others(state: str, client: Client, redis: redis_py.Redis) -> None:
    fill(redis)
    assert find_jobs(JID, client) == []
    PLACES[state](redis, failed(1))
    found = only(find_jobs(JID, client))
    assert (found.state, found.job.jid, found.job.raw) == (state, JID, failed(1))
    assert isinstance(found.job, SortedEntry) == (state in ("schedule", "retry", "dead"))
    assert found.process_id == {"in flight": ALIVE, "running": RUBY}.get(state)


@pytest.mark.parametrize("jid", ["ä", 'a"b', "a\\b", "*", "a*c", "[x]", "a b", "", "\u2028", "a" * 3000, "a/b"])
def test_a_jid_may_be_any_text(jid: str, client: Client, redis: redis_py.Redis) -> None:
    for escaped in (True, False):
        redis.flushdb()
        job = json.dumps({"class": "A", "args": [], "jid": jid}, ensure_ascii=escaped).encode()
        for put in PLACES.values():
            put(redis, packed(2))
            put(redis, job)
        states = [found.state for found in find_jobs(jid, client) if found.job.jid == jid]
        assert sorted(states) == sorted(PLACES), escaped


@pytest.mark.parametrize("version", VERSIONS)
def test_an_active_job_is_found_by_rails_s_own_id_too(version: str, client: Client, redis: redis_py.Redis) -> None:
    raw = next(raw for raw in read(version, "aj_plain").payloads() if b"job_id" in raw)
    redis.sadd("queues", "default")
    redis.lpush("queue:default", raw)
    job = json.loads(raw)
    assert only(find_jobs(job["args"][0]["job_id"], client)).job.jid == job["jid"]
    assert find_jobs("job_id", client) == []


def test_several_that_share_a_jid_are_all_found(client: Client, redis: redis_py.Redis) -> None:
    for number, put in enumerate(PLACES.values()):
        put(redis, packed(1, args=[number]))
    PLACES["queue"](redis, packed(1, args=[0]))
    found = find_jobs(JID, client)
    assert sorted(one.state for one in found) == sorted([*PLACES, "queue"])


def test_a_process_that_is_gone_is_told_and_what_it_had_begun(client: Client, redis: redis_py.Redis) -> None:
    hold(redis, GONE, "low", packed(1), alive=False)
    found = only(find_jobs(JID, client))
    assert (found.state, found.process_id, found.is_alive, found.work) == ("in flight", GONE, False, None)
    show_running(redis, GONE, packed(1), 7)
    found = only(find_jobs(JID, client))
    assert (found.state, found.is_alive) == ("in flight", False)
    assert found.work is not None
    assert found.work.run_at is not None
    assert found.work.run_at.timestamp() == 7


@pytest.mark.parametrize("job", [packed(1), packed(1, args=["ä"]), packed(1).replace(b"Hard", b"H\xff\xfe")])
def test_a_running_job_is_told_once_with_its_thread(job: bytes, client: Client, redis: redis_py.Redis) -> None:
    hold(redis, ALIVE, "low", job)
    for key in ("work", "workers"):
        show_running(redis, ALIVE, job, 7, key)
    found = only(find_jobs(JID, client))
    assert (found.state, found.process_id, found.job.raw) == ("running", ALIVE, job)
    assert found.work is not None
    assert found.work.thread_id == "thread"


def test_what_a_pykiq_process_shows_as_running_and_does_not_hold_has_ended(
    client: Client, redis: redis_py.Redis
) -> None:
    hold(redis, ALIVE, "low", packed(2))
    show_running(redis, ALIVE, packed(1), 7)
    assert find_jobs(JID, client) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_job_that_ruby_runs_is_found(version: str, client: Client, redis: redis_py.Redis) -> None:
    restore(redis, read(version, "heartbeat_busy"))
    identity = next(iter(redis.smembers("processes"))).decode()
    key = "workers" if version.startswith("6") else "work"
    thread, record = next(iter(redis.hgetall(f"{identity}:{key}").items()))
    payload = json.loads(record)["payload"]
    jid = (json.loads(payload) if isinstance(payload, str) else payload)["jid"]
    found = only(find_jobs(jid, client))
    assert (found.state, found.process_id) == ("running", identity)
    assert found.work is not None
    assert found.work.thread_id == thread.decode()


MOVES: dict[tuple[str, str], Callable[[redis_py.Redis, bytes], object]] = {
    ("schedule", "queue"): lambda redis, job: (redis.zrem("schedule", job), redis.lpush("queue:low", job)),
    ("queue", "in flight"): lambda redis, job: (redis.lrem("queue:low", 1, job), hold(redis, ALIVE, "low", job)),
    ("in flight", "retry"): lambda redis, job: (_released(redis, job), redis.zadd("retry", {job: 9})),
    ("in flight", "queue"): lambda redis, job: (_released(redis, job), redis.rpush("queue:low", job)),
    ("in flight", "dead"): lambda redis, job: (_released(redis, job), redis.zadd("dead", {job: 9})),
    ("dead", "queue"): lambda redis, job: (redis.zrem("dead", job), redis.lpush("queue:low", job)),
}


def _released(redis: redis_py.Redis, job: bytes) -> None:
    redis.lrem(f"pykiq:inflight:{ALIVE}:low", 1, job)


@pytest.mark.parametrize("step", range(9))
@pytest.mark.parametrize(("place", "next_place"), MOVES)
def test_one_that_moves_meanwhile_is_found_where_it_is_and_once(
    place: str, next_place: str, step: int, client: Client, redis: redis_py.Redis
) -> None:
    redis.sadd("queues", "low")
    PLACES[place](redis, packed(1))
    lookup = Lookup(JID, client)
    for number, _ in enumerate(lookup.steps()):
        if number == step:
            MOVES[place, next_place](redis, packed(1))
    found = lookup.found()
    states = [one.state for one in found]
    # Where it was when it was seen, if it has moved on since; never nowhere, and never twice.
    assert states in ([place], [next_place])


def test_redis_looks_at_one_page_at_a_time(client: Client, redis: redis_py.Redis) -> None:
    jobs = [packed(number) for number in range(2000)]
    redis.sadd("queues", "low")
    redis.lpush("queue:low", *jobs)
    for key in ("schedule", "retry", "dead"):
        redis.zadd(key, dict.fromkeys(jobs, 1))
    hold(redis, ALIVE, "low", *jobs[:1000])
    asked = recorded(redis)
    lookup = Lookup("none", client)
    steps = sum(1 for _ in lookup.steps())
    sizes = [int(words[3]) - int(words[2]) + 1 for words in asked if words[0] == "LRANGE"]
    assert max(sizes) <= queues.PAGE + 1
    assert {words[-1] for words in asked if words[0] == "ZSCAN"} == {sets.PAGE}
    assert {words[0] for words in asked} <= {
        *("LRANGE", "ZSCAN", "SSCAN", "HGETALL", "HKEYS", "LLEN", "EXISTS", "ZCARD", "MEMORY USAGE"),
    }
    assert lookup.length() <= steps <= 3 * lookup.length()


def recorded(redis: redis_py.Redis) -> list[tuple[Any, ...]]:
    """The commands that this client sends from now on, but for pipelines."""
    asked: list[tuple[Any, ...]] = []
    send = redis.execute_command

    def execute(*words: Any, **options: Any) -> Any:
        asked.append(words)
        return send(*words, **options)

    redis.execute_command = execute  # type: ignore[method-assign]
    return asked


def test_nothing_is_held_where_nobody_holds_anything(redis: redis_py.Redis) -> None:
    assert inflight.read(redis) == []
    assert inflight.owners(redis) == set()


def test_lists_are_read_whatever_a_queue_is_called(redis: redis_py.Redis) -> None:
    hold(redis, ALIVE, "a:b c", packed(1))
    hold(redis, GONE, "ä", packed(2), packed(3), alive=False)
    redis.hset("pykiq:owners", "odd", "[1, {}]")
    assert inflight.read(redis) == [
        inflight.Held(ALIVE, "a:b c", 1, True),
        inflight.Held(GONE, "ä", 2, False),
    ]
    assert pages_of(redis, inflight.read(redis)[1]) == [packed(2), packed(3)]
    redis.rpush("pykiq:inflight:forgotten:1:cccccccccccc:low", packed(4))
    forgotten = ("forgotten:1:cccccccccccc", "low")
    assert inflight.read(redis, [forgotten])[0] == inflight.Held(*forgotten, 1, False)


def pages_of(redis: redis_py.Redis, held: inflight.Held) -> list[bytes]:
    def each() -> Iterator[bytes]:
        for page in inflight.pages(redis, held):
            yield from page

    return list(each())

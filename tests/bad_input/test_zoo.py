"""Whatever is in Redis, every command that reads shows it and goes on, and so do `pykiq.admin` and the metrics."""

from __future__ import annotations

import json
import shlex
import unicodedata
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest
import redis as redis_py

from pykiq import Client, Config
from pykiq.admin import (
    DeadSet,
    JobRecord,
    ProcessSet,
    Queue,
    RetrySet,
    ScheduledSet,
    SortedEntry,
    Stats,
    WorkSet,
    find_jobs,
)
from pykiq.cli import main
from pykiq.middleware.chain import Chain
from pykiq.observe.backlog import Backlog
from pykiq.observe.reading import packed, read, unpacked
from pykiq.store import due, fleet
from pykiq.wire.dialect import SEVEN
from pykiq.worker.poller import repush
from tests.bad_input import zoo
from tests.servers import Server

LISTINGS = ("stats", "queues", "processes", "busy", "retries", "scheduled", "dead", "doctor")
"""Commands that read everything; each has --json."""


@pytest.fixture(scope="module")
def zoo_server() -> Iterator[Server]:
    server = Server().start()
    with server.client() as client:
        zoo.fill(client)
    yield server
    server.stop()


@pytest.fixture
def client(zoo_server: Server) -> Iterator[Client]:
    with zoo_server.client() as redis:
        yield Client(Config.of(redis=zoo_server.url), redis=redis)


def strict(text: str) -> Any:
    """JSON by the letter: no NaN, no Infinity, no half of a surrogate pair; integers of any length."""

    def refuse(name: str) -> NoReturn:
        raise AssertionError(f"{name} is not JSON")

    value = json.loads(text, parse_constant=refuse, parse_int=lambda digits: 0)
    json.dumps(value, ensure_ascii=False).encode()
    return value


def is_harmless(text: str) -> bool:
    """Whether there is nothing in it but lines of text: no control character, none that turns the order around."""
    return all(char == "\n" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in text)


def ran(capsys: pytest.CaptureFixture[str], server: Server, *arguments: str) -> tuple[int, str, str]:
    # Before the arguments: behind a `--` it would be one of them.
    code = main([arguments[0], "--redis", server.url, *arguments[1:]])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.mark.parametrize(
    "command", [*LISTINGS, "top", "retries --match x", "dead --class A* --since 1d", "busy --class A"]
)
def test_every_listing_shows_the_zoo_and_goes_on(
    command: str, zoo_server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*shlex.split(command), *(["--once"] if command == "top" else [])]
    code, out, err = ran(capsys, zoo_server, *words)
    assert code == (1 if command == "doctor" else 0), err
    assert out or err.startswith("nothing matches\n")
    assert is_harmless(out)
    assert is_harmless(err)


@pytest.mark.parametrize("command", LISTINGS)
def test_every_listing_is_strict_json(command: str, zoo_server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran(capsys, zoo_server, command, "--json")
    assert (code, err) == (1 if command == "doctor" else 0, "")
    assert is_harmless(out)
    assert [strict(line) for line in out.split("\n")[:-1]]


@pytest.mark.parametrize("name", zoo.NAMES)
def test_every_queue_is_listed_whatever_its_name(
    name: bytes, zoo_server: Server, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    text = name.decode("utf-8", "surrogateescape")
    code, out, err = ran(capsys, zoo_server, "queues", "--json", "--", text)
    assert (code, err, len(out.split("\n")) - 1) == (0, "", len(zoo.JOBS))
    code, out, err = ran(capsys, zoo_server, "queues", "--limit", "500", "--", text)
    assert (code, err, len(out.split("\n")) - 2) == (0, "", len(zoo.JOBS))
    assert is_harmless(out)
    assert Queue(text, client).size == len(zoo.JOBS)


@pytest.mark.parametrize("command", ["retries", "scheduled", "dead"])
def test_every_entry_is_shown_with_all_that_it_says(
    command: str, zoo_server: Server, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    for score in zoo.SCORES:
        code, out, err = ran(capsys, zoo_server, command, f"score {score}")
        assert (code, err) == (0, "")
        assert is_harmless(out)
        (line,) = ran(capsys, zoo_server, command, f"score {score}", "--json")[1].splitlines()
        shown = strict(line)["score"]
        assert float(shown) == float(score)
        assert isinstance(shown, str) == ("inf" in score)


def used(job: JobRecord) -> None:
    """Everything that can be asked of a job."""
    for name in dir(type(job)):
        if isinstance(getattr(type(job), name, None), property):
            getattr(job, name)
    assert isinstance(job.display_class, str)
    assert isinstance(job.display_args, list)
    assert sum(map(len, job.error_backtrace or [])) < 2_000_000
    repr(job)


def test_the_administrators_objects_raise_for_none_of_it(client: Client) -> None:
    assert {found.state for found in find_jobs("a" * 24, client)} >= {"queue", "retry", "schedule", "dead"}
    for jobs in (RetrySet(client), ScheduledSet(client), DeadSet(client)):
        entries = list(jobs)
        assert len(entries) == len(list(reversed(jobs))) == jobs.size
        for entry in entries:
            assert isinstance(entry, SortedEntry)
            used(entry)
            assert entry.raw in [one.raw for one in jobs.fetch(entry.score)]
    assert {"string", "gone"} < {queue.name for queue in Queue.all(client)}
    for queue in Queue.all(client):
        assert queue.latency >= 0
        assert len(list(queue)) == queue.size
        for job in queue:
            used(job)
    for work in WorkSet(client):
        used(work.job)
        assert work.elapsed >= 0
    for process in ProcessSet(client):
        for name in dir(type(process)):
            if isinstance(getattr(type(process), name, None), property):
                getattr(process, name)
        if not process.embedded:
            process.quiet()
    stats = Stats(client)
    assert stats.unreadable == ("queue:string",)
    assert ProcessSet(client).leader == "\ufffd"
    assert (ProcessSet(client).total_concurrency, ProcessSet(client).total_rss) >= (0, 0)


def test_the_metrics_and_what_workers_read_of_others_go_on(client: Client, zoo_server: Server) -> None:
    queues = [name.decode("utf-8", "surrogateescape") for name in zoo.NAMES]
    reading = read(client.redis, queues, 1.7e9)
    assert len(reading.sizes) == len(queues)
    assert all(late < 1e300 for late in reading.lateness.values())
    assert unpacked(packed(reading)) == reading
    strict(packed(reading).decode("utf-8", "replace"))
    assert fleet.read(client.redis).dialect.name in ("6", "7", "8")
    assert due.next_score(client.redis) == float("-inf")
    backlog = Backlog(zoo_server.client, ["low", "string"], patience=10)
    names = {metric.name for metric in backlog.collect()}
    assert "pykiq_queue_size" in names
    backlog.close()


@pytest.mark.parametrize("key", zoo.OTHER_TYPES)
def test_a_key_of_another_type_keeps_nobody_from_the_others(
    key: str, redis: redis_py.Redis, redis_url: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    redis.sadd("queues", "low")
    redis.lpush("queue:low", zoo.JOBS[-1])
    redis.zadd("retry", {zoo.JOBS[-1]: 1.0})
    redis.sadd("processes", "a:1:b")
    redis.hset("a:1:b", mapping={"info": "{}", "busy": "1"})
    zoo.break_type(redis, key)
    of_one = {"retry": "retries", "schedule": "scheduled", "dead": "dead", "processes": "processes"}
    for command in (*LISTINGS, "top"):
        code, out, err = ran(capsys, server, command, *(["--once"] if command == "top" else []))
        if command == of_one.get(key) or (key, command) == ("processes", "busy"):
            assert code == 1
            assert err.startswith(f"pykiq: the key {key} is a stream and should be a s")
            assert err.count("\n") == 1
        else:
            assert code == (1 if command == "doctor" else 0), err
            assert out or err
        assert ran(capsys, server, "job", "a" * 24)[0] == 0 or key == "queues"
        if command == "doctor" and key != "pykiq:owners":
            assert f"the key {key} is of another type" in out
    assert Client(Config.of(redis=redis_url), redis=redis).push({"class": "A", "args": []}) if key != "queues" else True


@pytest.mark.parametrize("key", due.SETS)
def test_the_poller_moves_every_one_of_them_to_a_queue_or_to_the_dead(key: str, redis: redis_py.Redis) -> None:
    for job in zoo.JOBS:
        redis.zadd(key, {job: "-inf"})
    config = Config.of()
    while members := [one.raw or b"" for one in due.peek(redis, key, 1.7e9, 100)]:
        moves = [repush(member, 1.7e9, Chain(), lambda job: SEVEN) for member in members]
        assert {move.kind for move in moves} <= {"push", "dead"}
        assert set(due.move(redis, key, moves, 1.7e9, config)) == {due.Moved.DONE}
    queued = sum(redis.llen(name) for name in redis.scan_iter("queue:*"))
    assert queued + redis.zcard("dead") == len(set(zoo.JOBS))

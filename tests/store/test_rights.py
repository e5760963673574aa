"""The rights that a user of Redis needs: the table is enough for a worker, and what is lacking is told."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

import pykiq
from pykiq.cli.main import main
from pykiq.config import Config
from pykiq.errors import StoreError
from pykiq.store.connection import connect
from pykiq.store.rights import CHANNEL, KEYS, RIGHTS, check_keys, closed, lacking
from tests.servers import Server, wait_until

JOBS = """
import os, signal, time
import pykiq

@pykiq.job("Quick")
def quick(number): pass

@pykiq.job("Fails", retry=1)
def fails(): raise ValueError("no")

@pykiq.job("Dies", retry=0)
def dies(): raise ValueError("no")

@pykiq.job("Slow")
def slow(): time.sleep(float(os.environ["SLOW"]))
"""
ALL = tuple(f"+{name}" for right in RIGHTS for name in right.commands)


@pytest.fixture
def user(redis: redis_py.Redis, server: Server) -> Iterator[Callable[..., str]]:
    """Makes the user `narrow` with these rules and no others, and returns its URL."""

    def make(*rules: str) -> str:
        patterns = [f"~{pattern}" for pattern in (*KEYS, f"{socket.gethostname()}:*")] + [f"&{CHANNEL}"]
        redis.execute_command("ACL", "SETUSER", "narrow", "reset", "on", ">secret", *patterns, *rules)
        redis.execute_command("ACL", "LOG", "RESET")
        return f"redis://narrow:secret@127.0.0.1:{server.port}/0"

    yield make
    redis.execute_command("ACL", "DELUSER", "narrow")


@pytest.fixture
def worker(
    tmp_path: Path,
) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], Callable[[], list[dict[str, Any]]]]]]:
    (tmp_path / "narrow_jobs.py").write_text(JOBS)
    started: list[subprocess.Popen[bytes]] = []

    def start(url: str, *, slow: float = 60.0) -> tuple[subprocess.Popen[bytes], Callable[[], list[dict[str, Any]]]]:
        path = tmp_path / f"log{len(started)}"
        environment = os.environ | {
            "REDIS_URL": url,
            "SLOW": str(slow),
            "PYKIQ_LEASE_TTL": "1.5",
            "PYKIQ_SWEEP_INTERVAL": "0.3",
            "PYKIQ_POLL_INTERVAL": "0.2",
        }
        command = [sys.executable, "-m", "pykiq", "run", "-r", "narrow_jobs", "-c", "3", "--log-format", "json"]
        with path.open("wb") as log:
            one = subprocess.Popen([*command, "-t", "1"], cwd=tmp_path, env=environment, stdout=log, stderr=log)
        started.append(one)

        def lines() -> list[dict[str, Any]]:
            return [json.loads(line) for line in path.read_text().split("\n")[:-1] if line.startswith("{")]

        def running() -> bool:
            assert one.poll() is None, path.read_text()
            return any(line["event"] == "running" for line in lines())

        wait_until(running, 30, "a running worker")
        return one, lines

    yield start
    for one in started:
        one.kill()
        one.wait()


def refused(redis: redis_py.Redis) -> list[Any]:
    """What the user was refused, but for the introduction of redis-py, which does without."""
    told = [(one["object"], one["reason"]) for one in redis.acl_log() if one["username"] == "narrow"]
    return [one for one in told if "setinfo" not in one[0]]


@pytest.mark.system
def test_the_rights_of_the_table_are_all_that_a_worker_needs(
    redis: redis_py.Redis, user: Callable[..., str], worker: Callable[..., Any]
) -> None:
    def until(condition: Callable[[], object], what: str) -> None:
        def met() -> object:
            assert refused(redis) == []
            return condition()

        wait_until(met, 30, what)

    url = user("-@all", *ALL)
    with pykiq.Client(Config.of(redis=url)) as client:
        assert lacking(client.redis) == []
        doomed, _ = worker(url)
        client.push({"class": "Slow", "args": []})
        until(lambda: redis.keys("*:work"), "a job seen running")
        doomed.kill()  # its job is taken over
        _, lines = worker(url, slow=0.1)
        client.push_bulk({"class": "Quick", "args": [[n] for n in range(200)]})
        client.push({"class": "Quick", "args": ["x" * 5000]})
        client.push({"class": "Fails", "args": [], "retry": 1})
        client.push({"class": "Dies", "args": [], "retry": 0})
        client.push({"class": "Foreign", "args": []})
        soon = redis.time()[0] + 1
        client.push({"class": "Quick", "args": [0], "at": soon})
        until(lambda: redis.zcard("retry") == 1 and redis.zcard("dead") == 1, "a retry and a dead job")
        redis.zadd("retry", {redis.zrange("retry", 0, 0)[0]: 1})  # due now
        until(lambda: redis.zcard("dead") == 2 and not redis.zcard("schedule"), "due jobs that were moved")
        until(lambda: any(line["event"] == "took_over" for line in lines()), "a takeover")
        until(lambda: int(redis.get("stat:processed") or 0) >= 204, "counted jobs")
        one, lines = worker(url, slow=0.1)
        (running,) = (line for line in lines() if line["event"] == "running")
        redis.lpush(f"{running['identity']}-signals", "TSTP")
        until(lambda: any(line["event"] == "quiet" for line in lines()), "a quiet worker")
        one.send_signal(signal.SIGTERM)
        assert one.wait(20) == 0
        assert not any(line["event"] in ("rights_lacking", "standing_orders_refused") for line in lines())
    assert refused(redis) == []


def test_the_rights_on_the_page_are_all_that_people_who_operate_a_fleet_need(
    redis: redis_py.Redis, user: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "redis-keys.md").read_text("utf-8")
    (rules,) = (line.split() for line in page.split("\n") if line.startswith("    ~") and "+@read" in line)
    url = user(*rules)
    for command in (
        *(
            "push A",
            "push A --in 1h",
            "stats",
            "queues",
            "queues default",
            "queues default --class A",
            "busy",
            "doctor",
        ),
        *("retries", "scheduled", "dead", "processes", "top --once", "job x", "pause default", "resume default"),
        *("queues default delete --class A --yes", "push A", "queues default clear --yes", "quiet --all", "stop --all"),
        *("scheduled reschedule --all --in 2h --yes", "scheduled kill --all --yes", "dead retry --all --yes"),
        *("push A --in 1h", "scheduled retry --all --yes", "retries delete --all --yes", "dead clear --yes", "mark x"),
    ):
        main([*command.split(), "--redis", url])
        assert "permission" not in capsys.readouterr().err, command
    assert [one for one in refused(redis) if "client|" not in one[0]] == []  # the doctor tries what a worker needs


@pytest.mark.parametrize(
    ("rules", "commands", "means"),
    [
        (("-client",), {"client|id", "client|tracking", "client|unblock"}, "an idle worker asks again and again"),
        (("-client|unblock",), {"client|unblock"}, "a stop takes up to 5 s"),
        (("-blmove",), {"blmove"}, "an idle worker asks again and again"),
        (("-brpop",), {"brpop"}, "holds the GIL"),
        (("-scan",), {"scan"}, "jobs of processes that died"),
        (("-info",), {"info"}, "a server that is too old"),
        (("-zadd", "-zrem"), {"zrem"}, "jobs that fail stay in flight"),
        (("-@dangerous",), {"client|unblock", "info"}, "a stop takes up to 5 s"),
    ],
)
def test_what_is_lacking_is_told_with_the_rules_that_allow_it(
    redis: redis_py.Redis, user: Callable[..., str], rules: tuple[str, ...], commands: set[str], means: str
) -> None:
    with connect(Config.of(redis=user("+@all", *rules))) as client:
        found = lacking(client)
    assert {name for one in found for name in one.commands} == commands
    assert any(means in one.without for one in found)
    assert all(one.rules == " ".join(f"+{name}" for name in one.commands) for one in found)


@pytest.mark.parametrize("hidden", ["retry", "schedule", "dead", "queues", "processes", "queue:*", "pykiq:*"])
@pytest.mark.parametrize("instead", [(), ("%R~{}",)])
def test_a_key_that_no_job_can_do_without_is_named_before_one_runs(
    redis: redis_py.Redis, server: Server, hidden: str, instead: tuple[str, ...]
) -> None:
    patterns = [f"~{pattern}" for pattern in KEYS if pattern != hidden] + [one.format(hidden) for one in instead]
    redis.execute_command("ACL", "SETUSER", "narrow", "reset", "on", ">secret", "+@all", *patterns)
    redis.lpush("queue:low", "job")
    redis.set("retry", "of another type, which is another trouble")
    try:
        with connect(Config.of(redis=f"redis://narrow:secret@127.0.0.1:{server.port}/0")) as client:
            assert closed(client, ["low", "other"]) == [hidden]
            assert lacking(client) == [], "it is no command that is refused"
            with pytest.raises(StoreError, match=f"may not read and write {re.escape(hidden)}: .*~{re.escape(hidden)}"):
                check_keys(client, ["low"])
    finally:
        redis.execute_command("ACL", "DELUSER", "narrow")
    assert redis.lrange("queue:low", 0, -1) == [b"job"]


@pytest.mark.system
def test_a_worker_whose_user_may_not_write_retries_runs_no_job(
    redis: redis_py.Redis, server: Server, tmp_path: Path
) -> None:
    (tmp_path / "narrow_jobs.py").write_text(JOBS)
    patterns = [f"~{pattern}" for pattern in (*KEYS, f"{socket.gethostname()}:*") if pattern != "retry"]
    redis.execute_command("ACL", "SETUSER", "narrow", "reset", "on", ">secret", "+@all", *patterns)
    redis.lpush("queue:default", '{"class":"Quick","args":[1],"jid":"1"}')
    url = f"redis://narrow:secret@127.0.0.1:{server.port}/0"
    try:
        command = [sys.executable, "-m", "pykiq", "run", "-r", "narrow_jobs", "--redis", url]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    finally:
        redis.execute_command("ACL", "DELUSER", "narrow")
    assert ended.returncode == 1
    assert "may not read and write retry: jobs would run, and none could be settled" in ended.stderr
    assert redis.llen("queue:default") == 1


def test_probing_leaves_nothing_behind(redis: redis_py.Redis, redis_url: str) -> None:
    with connect(Config.of(redis=redis_url)) as client:
        assert lacking(client) == []
    assert redis.keys() == []


@pytest.mark.system
def test_a_worker_says_once_what_it_is_not_allowed_and_so_does_the_doctor(
    redis: redis_py.Redis,
    user: Callable[..., str],
    worker: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = user("+@all", "-client|unblock", "-blmove")
    one, lines = worker(url)
    (told,) = (line for line in lines() if line["event"] == "rights_lacking")
    assert told["commands"] == ["blmove", "client|unblock"]
    assert told["next"] == "allow it: ACL SETUSER … +blmove +client|unblock"
    monkeypatch.chdir(tmp_path)
    main(["doctor", "--redis", url])
    assert "ACL SETUSER … +blmove +client|unblock" in " ".join(capsys.readouterr().out.split())
    one.send_signal(signal.SIGTERM)
    assert one.wait(20) == 0

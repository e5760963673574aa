"""`pykiq processes`, `busy`, `quiet`, `stop`, on fleets that real Ruby wrote."""

from __future__ import annotations

import json
import time
from datetime import datetime

import pytest
import redis as redis_py

from tests.admin.conftest import packed
from tests.admin.test_fleet import restore
from tests.captures import VERSIONS, read
from tests.cli.inside import Command


def identity_in(redis: redis_py.Redis) -> str:
    return next(iter(redis.smembers("processes"))).decode()


@pytest.mark.parametrize("version", VERSIONS)
def test_processes_are_a_table_and_json(version: str, redis: redis_py.Redis, command: Command) -> None:
    restore(redis, read(version, "heartbeat_busy"))
    identity = identity_in(redis)
    redis.hset(identity, mapping={"quiet": "true", "beat": time.time() - 4})
    head, row = command("processes").out.splitlines()
    assert head.split() == ["process", "version", "tag", "queues", "busy", "memory", "started", "beat"]
    assert row.startswith(identity)
    assert row.endswith(" s  quiet")
    assert " MB" in row
    (found,) = command("processes", "--json").lines
    assert found["identity"] == identity
    assert found["quiet"] is True
    assert found["busy"] == int(redis.hget(identity, "busy"))
    assert found["pid"] == json.loads(redis.hget(identity, "info"))["pid"]


@pytest.mark.parametrize("version", VERSIONS)
def test_running_jobs_are_a_table_and_json_and_can_be_filtered(
    version: str, redis: redis_py.Redis, command: Command
) -> None:
    restore(redis, read(version, "heartbeat_busy"))
    head, *rows = command("busy").out.splitlines()
    assert head.split() == ["running", "process", "queue", "jid", "class", "args"]
    found = command("busy", "--json").lines
    assert len(found) == len(rows) > 0
    assert found[0]["process"] == identity_in(redis)
    assert found[0]["job"]["class"] in rows[0]
    assert len(command("busy", "--class", found[0]["class"], "--json").lines) >= 1
    nobody = command("busy", "--class", "Nobody")
    assert (nobody.code, nobody.out, nobody.err.splitlines()[0]) == (0, "", "nothing matches")
    assert command("busy", "--since", "1s").out == ""
    assert len(command("busy", "--since", "2020-01-01", "--json").lines) == len(rows)


def test_how_old_the_picture_is_is_said(redis: redis_py.Redis, command: Command) -> None:
    redis.sadd("processes", "web-1:10:aaa", "web-2:10:bbb")
    redis.hset("web-1:10:aaa", mapping={"info": "{}", "beat": time.time() - 7200})
    assert command("busy").err.splitlines() == ["nothing runs", "told by 1 process 2 h ago"]
    redis.hset("web-2:10:bbb", mapping={"info": "{}", "beat": time.time() + 60})  # its clock is ahead
    record = {"queue": "low", "payload": packed(1).decode(), "run_at": 5}
    redis.hset("web-1:10:aaa:work", "t", json.dumps(record))
    ran = command("busy")
    assert ran.out.count("\n") == 2
    assert ran.err == "told by 2 processes 0.0 s to 2 h ago\n"
    ran = command("busy", "--json")
    assert ran.err == ""
    told_at = datetime.fromisoformat(ran.lines[0]["told_at"]).timestamp()
    assert told_at == pytest.approx(time.time() - 7200, abs=60)


def test_an_empty_fleet_says_so(command: Command) -> None:
    assert command("processes")[:] == (0, "", "no processes\n")
    assert command("busy")[:] == (0, "", "nothing runs\n")
    assert command("stop", "--all")[:] == (0, "", "no processes\n")


def test_a_process_is_told_by_its_identity_or_its_beginning(redis: redis_py.Redis, command: Command) -> None:
    for name in ("web-1:10:aaa", "web-1:101:bbb", "web-2:10:ccc"):
        redis.sadd("processes", name)
        redis.hset(name, "info", "{}")
    assert command("quiet", "web-2").out == "web-2:10:ccc: told to quiet, within 10 s\n"
    assert redis.lrange("web-2:10:ccc-signals", 0, -1) == [b"TSTP"]
    assert command("stop", "web-1:10:aaa").code == 0
    assert redis.lrange("web-1:10:aaa-signals", 0, -1) == [b"TERM"]
    assert command("stop", "web-1").err.startswith("pykiq: 2 processes begin with web-1; `pykiq processes` lists them")
    assert command("stop", "db-1").err.startswith("pykiq: no process is called db-1; ")
    assert not redis.exists("web-1:101:bbb-signals")
    assert len(command("quiet", "--all").out.splitlines()) == 3


def test_whom_to_tell_must_be_said(command: Command) -> None:
    for arguments in (["quiet"], ["stop", "--all", "web-1"]):
        ran = command(*arguments)
        assert ran.code == 2
        assert "which processes? Give identities or --all" in ran.err


def test_an_embedded_process_is_left_alone_and_the_exit_code_tells(redis: redis_py.Redis, command: Command) -> None:
    restore(redis, read("8.1.7", "heartbeat_embedded"))
    ran = command("stop", "--all")
    assert ran.code == 1
    assert "runs inside another program" in ran.err


def test_a_name_that_a_shell_has_left_empty_is_nobody_s(redis: redis_py.Redis, command: Command) -> None:
    """`pykiq stop "$IDENTITY"`, and there is one process: every identity begins with nothing."""
    redis.sadd("processes", "web-1:10:aaa")
    redis.hset("web-1:10:aaa", "info", "{}")
    for name in ("quiet", "stop"):
        assert command(name, "")[:] == (2, "", 'pykiq: IDENTITY is ""; expected a name\n')
    for name in ("pause", "resume"):
        assert command(name, "")[:] == (2, "", 'pykiq: QUEUE is ""; expected a name\n')
    assert set(redis.keys()) == {b"processes", b"web-1:10:aaa"}

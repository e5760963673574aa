"""`pykiq doctor`: each thing that can be wrong is found, with what to do about it; and a healthy fleet has none."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from pykiq.cli import main
from pykiq.cli.doctor.checks import Finding, Level, findings
from pykiq.cli.doctor.extensions import EXTENSIONS
from pykiq.cli.doctor.facts import gather
from pykiq.cli.output import printable
from pykiq.cli.table import counted
from pykiq.config import Config
from tests.admin.conftest import packed
from tests.cli.inside import Command
from tests.cli.test_output import HOSTILE, UNPRINTABLE

CONFIG = Config.of()


@pytest.fixture
def healthy(redis: redis_py.Redis) -> Iterator[redis_py.Redis]:
    """A server that keeps what it is given, and a Ruby and a Python process that serve a queue each."""
    redis.config_set("appendonly", "yes")
    beat(redis, "ruby-1:1:aaaaaaaaaaaa", queues=["ruby"], version="8.1.7")
    beat(redis, "python-1:2:bbbbbbbbbbbb", queues=["low"], version="pykiq-0.1.0", pykiq="0.1.0")
    yield redis
    redis.config_set("appendonly", "no")


def beat(redis: redis_py.Redis, identity: str, *, ahead: float = 0.0, ago: float = 0.0, **fields: Any) -> None:
    """A heartbeat that came `ago` seconds ago, by a clock that is `ahead` of Redis's."""
    seconds, micros = redis.time()
    own = {name: fields.pop(name) for name in ("busy", "quiet") if name in fields}
    moment = seconds + micros / 1e6 - ago + ahead
    record = {"info": json.dumps(fields), "concurrency": 5, "busy": 0, "beat": moment, "quiet": "false", **own}
    redis.sadd("processes", identity)
    redis.hset(identity, mapping=record)
    redis.pexpire(identity, int((60 - ago) * 1000))


def found(redis: redis_py.Redis, check: str, handled: frozenset[str] | None = None) -> list[Finding]:
    return [one for one in findings(gather(redis, CONFIG, handled=handled)) if one.check == check]


def wrong(redis: redis_py.Redis, check: str, handled: frozenset[str] | None = None) -> Finding:
    """The one finding of a check that is not all right; it says what to do."""
    (one,) = [one for one in found(redis, check, handled) if one.level is not Level.OK]
    assert one.advice
    return one


def test_a_healthy_fleet_has_nothing_wrong_and_exit_code_zero(healthy: redis_py.Redis, command: Command) -> None:
    ran = command("doctor")
    assert ran.code == 0, ran.out
    assert ran.out.endswith("\nnothing is wrong\n")
    levels = {line["check"]: line["level"] for line in command("doctor", "--json").lines}
    assert set(levels.values()) == {"ok"}
    assert set(levels) == {
        *("server", "eviction", "persistence", "clocks", "rights", "round trip"),
        *("versions", "processes", "schedule", "in flight"),
    }


def test_something_wrong_is_exit_code_one_and_says_what_to_do(redis: redis_py.Redis, command: Command) -> None:
    ran = command("doctor")
    assert ran.code == 1
    assert "warning  no process runs\n         → start one: pykiq run --require handlers\n" in ran.out
    assert ran.out.endswith(" findings to be dealt with\n")


def test_the_server_s_settings_are_looked_at(redis: redis_py.Redis) -> None:
    assert wrong(redis, "persistence").text.startswith("appendonly is off")
    redis.config_set("maxmemory-policy", "allkeys-lru")
    redis.config_set("maxmemory", redis.info()["used_memory"] + 100_000)
    try:
        assert wrong(redis, "eviction").level is Level.ERROR
        assert "of maxmemory is used" in wrong(redis, "memory").text
    finally:
        redis.config_set("maxmemory", 0)
        redis.config_set("maxmemory-policy", "noeviction")
    assert found(redis, "eviction")[0].level is Level.OK


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"redis_version": "6.0.9"}, "redis 6.0.9 at redis://localhost:6379/0 is too old"),
        ({"cluster_enabled": 1}, "is a cluster"),
        ({"role": "slave"}, "is a replica"),
        ({"aof_last_write_status": "err"}, "could not write the append-only file"),
    ],
)
def test_a_server_that_cannot_be_used_is_told(redis: redis_py.Redis, changes: dict[str, Any], text: str) -> None:
    from pykiq.store.server import described

    info = {"redis_version": "7.0.15", "aof_enabled": 1, "role": "master", **changes}
    facts = gather(redis, CONFIG, handled=None)._replace(info=info, server=described(info))
    assert [one for one in findings(facts) if one.level is Level.ERROR and text in one.text and one.advice]


def test_clocks_are_compared_with_redis_s(healthy: redis_py.Redis) -> None:
    beat(healthy, "ruby-1:1:aaaaaaaaaaaa", queues=["ruby"], version="8.1.7", ahead=-120, ago=7)
    assert wrong(healthy, "clocks").text == "the clock of ruby-1:1:aaaaaaaaaaaa is 2 m behind Redis's"
    facts = gather(healthy, CONFIG, handled=None)
    assert abs(facts.clock_ahead) < 1
    here = [one.text for one in findings(facts._replace(clock_ahead=3.0)) if one.check == "clocks"]
    assert here[0] == "the clock of this machine is 3.0 s ahead of Redis's"


def test_a_slow_round_trip_is_told(healthy: redis_py.Redis) -> None:
    facts = gather(healthy, CONFIG, handled=None)
    assert 0 < facts.round_trip < 1
    slow = [one for one in findings(facts._replace(round_trip=0.12)) if one.check == "round trip"]
    assert (slow[0].level, slow[0].text) == (Level.WARNING, "a round trip takes 120.00 ms from here")


def test_mixed_versions_and_their_dialect_are_told(healthy: redis_py.Redis) -> None:
    assert found(healthy, "versions")[0].text == "Sidekiq 8.1.7; new jobs are written in the dialect of Sidekiq 8"
    beat(healthy, "old:3:cccccccccccc", queues=["ruby"])
    beat(healthy, "new:4:dddddddddddd", queues=["low"], version="pykiq-0.2.0", pykiq="0.2.0")
    mixed, deploy = found(healthy, "versions")
    assert mixed.text.startswith(
        "Sidekiq 6.x and 8.1.7 run beside each other; new jobs are written in the dialect of S"
    )
    assert mixed.text.endswith(" 6")
    assert deploy.text == "several versions of pykiq run: pykiq-0.1.0, pykiq-0.2.0"


def test_a_process_that_is_silent_is_told(healthy: redis_py.Redis) -> None:
    beat(healthy, "ruby-1:1:aaaaaaaaaaaa", queues=["ruby"], version="8.1.7", ago=45)
    assert wrong(healthy, "processes").text == "ruby-1:1:aaaaaaaaaaaa has not been heard of for 45 s"


def test_queues_that_nobody_serves_or_only_quiet_processes_are_told(healthy: redis_py.Redis) -> None:
    healthy.sadd("queues", "lost", "low", "empty", "halted")
    for queue in ("lost", "low", "halted"):
        healthy.lpush(f"queue:{queue}", packed())
    healthy.sadd("paused", "halted")
    beat(healthy, "python-1:2:bbbbbbbbbbbb", queues=["low"], version="pykiq-0.1.0", pykiq="0.1.0", quiet="true")
    assert [(one.level, one.text) for one in found(healthy, "queues")] == [
        (Level.REMARK, "halted is paused, with 1 job"),
        (Level.ERROR, "nobody serves lost, with 1 job"),
        (Level.WARNING, "only quiet processes serve low, with 1 job"),
    ]


@pytest.mark.parametrize("name", ["", "two words"])
def test_a_queue_whose_name_is_no_plain_word_is_told_in_quotes(name: str, healthy: redis_py.Redis) -> None:
    healthy.sadd("queues", name)
    healthy.lpush(f"queue:{name}", packed())
    assert wrong(healthy, "queues").text == f"nobody serves '{name}', with 1 job"
    healthy.hset("pykiq:owners", "gone:9:eeeeeeeeeeee", json.dumps([name]))
    healthy.lpush(f"pykiq:inflight:gone:9:eeeeeeeeeeee:{name}", packed(1))
    assert wrong(healthy, "in flight").text == f"gone:9:eeeeeeeeeeee is gone and holds 1 job from '{name}'"


def test_classes_without_a_handler_are_told_for_sure_when_the_handlers_are_known(healthy: redis_py.Redis) -> None:
    healthy.sadd("queues", "low", "ruby")
    healthy.lpush("queue:low", packed(1), packed(2, **{"class": "Mine"}), packed(3))
    healthy.lpush("queue:ruby", packed(4, **{"class": "RubyJob"}))
    told = wrong(healthy, "handlers", frozenset({"Mine"}))
    assert told.text == "in low, which only Python serves, HardJob (2) have no handler"
    assert found(healthy, "handlers", frozenset({"Mine", "HardJob"}))[0].level is Level.OK


def test_without_the_handlers_it_is_a_guess_from_how_long_they_wait(healthy: redis_py.Redis) -> None:
    healthy.sadd("queues", "low")
    healthy.lpush("queue:low", packed(1, enqueued_at=time.time()))
    assert found(healthy, "handlers") == []
    healthy.rpush("queue:low", packed(2, enqueued_at=time.time() - 90))
    assert wrong(healthy, "handlers").text.endswith("wait although there are free slots: no handler?")
    beat(healthy, "python-1:2:bbbbbbbbbbbb", queues=["low"], version="pykiq-0.1.0", pykiq="0.1.0", busy=5)
    assert found(healthy, "handlers") == []


def test_a_due_job_that_nobody_moves_is_told(healthy: redis_py.Redis) -> None:
    healthy.zadd("schedule", {packed(): time.time() + 60})
    assert found(healthy, "schedule")[0].level is Level.OK
    healthy.zadd("retry", {packed(): time.time() - 200})
    assert wrong(healthy, "schedule").text.startswith("a job has been due for 3 m 2")


def test_of_a_due_job_without_a_moment_nobody_says_for_how_long_it_has_been_due(healthy: redis_py.Redis) -> None:
    healthy.zadd("retry", {packed(): float("-inf")})
    told = wrong(healthy, "schedule")
    assert (told.level, told.text) == (Level.WARNING, "a job is due whose score is -inf: it waits to be moved")


def test_in_flight_jobs_of_a_process_that_is_gone_are_told(healthy: redis_py.Redis) -> None:
    gone, alive = "gone:9:eeeeeeeeeeee", "python-1:2:bbbbbbbbbbbb"
    for identity in (gone, alive):
        healthy.hset("pykiq:owners", identity, '["low","a:b"]')
        healthy.lpush(f"pykiq:inflight:{identity}:a:b", packed(1), packed(2))
    healthy.set(f"pykiq:lease:{alive}", alive)
    told = wrong(healthy, "in flight")
    assert told.text == f"{gone} is gone and holds 2 jobs from a:b"
    assert "within 20 s" in told.advice
    healthy.delete("pykiq:owners", alive)
    told = wrong(healthy, "in flight")
    assert "start one" in told.advice
    healthy.delete(f"pykiq:inflight:{gone}:a:b")
    assert found(healthy, "in flight")[0].text == "2 jobs in flight, all with a living owner"


@pytest.mark.parametrize("is_known", ["by its lease", "by its silence"])
def test_a_process_that_died_a_moment_ago_serves_nothing_and_puts_nothing_back(
    healthy: redis_py.Redis, is_known: str
) -> None:
    """It is in the list for another minute."""
    python = "python-1:2:bbbbbbbbbbbb"
    healthy.sadd("queues", "low")
    healthy.lpush("queue:low", packed(1, enqueued_at=time.time() - 90))
    healthy.hset("pykiq:owners", python, '["low"]')
    healthy.lpush(f"pykiq:inflight:{python}:low", packed(2))
    if is_known == "by its silence":
        healthy.set(f"pykiq:lease:{python}", python)
        beat(healthy, python, queues=["low"], version="pykiq-0.1.0", pykiq="0.1.0", ago=45)
    else:
        assert "start one" in wrong(healthy, "in flight").advice
    assert wrong(healthy, "queues").text == "nobody serves low, with 1 job"
    assert found(healthy, "handlers") == []


@pytest.mark.parametrize("extension", EXTENSIONS, ids=lambda extension: extension.name)
def test_what_other_gems_left_is_told_with_what_it_means(healthy: redis_py.Redis, extension: Any) -> None:
    for key in extension.keys:
        healthy.set(key.replace("*", "some:thing"), "x")
    (told,) = found(healthy, "extensions")
    assert told.text == f"{extension.name}: {counted(len(extension.keys), 'key')}"
    assert told.level is Level.REMARK
    assert told.advice == extension.advice


def test_sidekiq_s_and_our_own_keys_are_no_extension(healthy: redis_py.Redis) -> None:
    for key in ("stat:processed", "it-abc", "20261122-marks", "process_cleanup", "pykiq:sweep", "j|261122|2:05"):
        healthy.set(key, "x")
    healthy.lpush("queue:low", packed())
    healthy.zadd("schedule", {packed(): time.time() + 60})
    assert found(healthy, "extensions") == []


def test_handlers_are_loaded_on_demand(healthy: redis_py.Redis, command: Command, tmp_path: Path) -> None:
    from pykiq.client import configure
    from pykiq.jobs.registry import registry

    (tmp_path / "doctored.py").write_text("import pykiq\n@pykiq.job('HardJob')\ndef hard(*args): ...\n")
    healthy.sadd("queues", "low")
    healthy.lpush("queue:low", packed())
    try:
        ran = command("doctor", "--require", "doctored.py")
        assert ran.code == 0, ran.out
        assert "every class that waits where only Python serves has a handler" in ran.out
    finally:
        registry.clear()
        configure.forget()


@pytest.mark.parametrize("name", [*HOSTILE, *UNPRINTABLE, "--", "a,3", " padded ", "\x00"])
@pytest.mark.parametrize("is_paused", [True, False])
def test_a_command_that_is_offered_does_what_it_says_whatever_a_queue_is_called(
    name: str, is_paused: bool, redis: redis_py.Redis, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = name.encode("utf-8", "surrogateescape")
    redis.sadd("queues", raw)
    redis.lpush(b"queue:" + raw, packed())
    if is_paused:
        redis.sadd("paused", raw)
    finding = wrong(redis, "queues")
    ran = command("doctor")
    assert printable(finding.advice) == finding.advice, "what is printed is what can be pasted"
    assert f" {printable(finding.text)}\n         → {finding.advice}\n" in ran.out
    offered = re.findall(r"pykiq .*$", finding.advice)
    if not name or name != name.strip() or "," in name or "\x00" in name:
        assert offered == ["pykiq.admin.Queue"] or offered == []
        return
    words = _as_a_shell_reads(offered[0])
    verb = b"resume" if is_paused else b"queues"
    assert [one for one in words if one != b"--"] == [b"pykiq", verb, raw] or name == "--"
    if not is_paused:
        assert _as_a_shell_reads(finding.advice.partition(", or")[0].partition("process with ")[2]) == [b"-q", raw]
        first, *rest = [os.fsdecode(one) for one in words[1:]]
        assert main([first, "--redis", command.url, "--json", *rest]) == 0
        assert json.loads(capsys.readouterr().out)["class"] == "HardJob"


def _as_a_shell_reads(text: str) -> list[bytes]:
    ran = subprocess.run(["bash", "-c", f"printf '%s\\0' {text}"], capture_output=True, check=True)
    return ran.stdout.split(b"\0")[:-1]

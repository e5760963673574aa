"""`pykiq push`: from a shell into a queue."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis as redis_py

from pykiq.cli.push import parsed_arguments
from pykiq.cli.times import when
from pykiq.errors import ConfigError
from tests.cli.command import pykiq_command
from tests.cli.inside import Command


def test_a_push_prints_the_jid_of_the_job_in_the_queue(redis: redis_py.Redis, redis_url: str, tmp_path: Path) -> None:
    done = pykiq_command("push", "Billing::ChargeJob", '[42, "é"]', "-q", "critical", cwd=tmp_path, REDIS_URL=redis_url)
    assert (done.returncode, done.stderr) == (0, "")
    (raw,) = redis.lrange("queue:critical", 0, -1)
    job = json.loads(raw)
    assert done.stdout == f"{job['jid']}\n"
    assert (job["class"], job["args"], job["queue"]) == ("Billing::ChargeJob", [42, "é"], "critical")
    assert redis.smembers("queues") == {b"critical"}


def test_without_arguments_and_queue_a_job_goes_to_default(redis: redis_py.Redis, command: Command) -> None:
    assert command("push", "HardJob").code == 0
    assert json.loads(redis.lindex("queue:default", 0))["args"] == []


def test_a_later_job_goes_to_the_schedule(redis: redis_py.Redis, command: Command) -> None:
    assert command("push", "HardJob", "[]", "--at", "2131-05-01T12:00:00+02:00").code == 0
    ((raw, score),) = redis.zrange("schedule", 0, -1, withscores=True)
    assert score == datetime(2131, 5, 1, 10, tzinfo=UTC).timestamp()
    assert json.loads(raw)["class"] == "HardJob"


def test_a_class_ruby_could_not_take_is_refused_and_nothing_is_written(redis: redis_py.Redis, command: Command) -> None:
    ran = command("push", "hard_job")
    assert ran.code == 2
    assert ran.err.startswith("pykiq: ")
    assert "did you mean 'HardJob'?" in ran.err
    assert redis.dbsize() == 0


def test_integers_of_any_size_are_kept() -> None:
    assert parsed_arguments("[123456789012345678901234567890]") == [123456789012345678901234567890]


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("{'a': 1}", "JSON-ARGS is \"{'a': 1}\", which is not JSON ("),
        ('{"a": 1}', "JSON-ARGS is '{\"a\": 1}'; expected an array such as '[42, \"x\"]'"),
        ("42", 'JSON-ARGS is "42"; expected an array such as'),
        ("[NaN]", 'JSON-ARGS is "[NaN]", which is not JSON ('),
        ("", 'JSON-ARGS is "", which is not JSON ('),
    ],
)
def test_arguments_that_are_no_json_array_are_refused(text: str, given: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parsed_arguments(text)
    assert str(refused.value).startswith(given)


@pytest.mark.parametrize(
    ("delay", "moment", "due"),
    [
        (None, None, None),
        ("60", None, 1060.0),
        ("0.5", None, 1000.5),
        (None, "1795627245.5", 1795627245.5),
        (None, "1970-01-01T00:33:20", 2000.0),
        (None, "1970-01-01T02:33:20+02:00", 2000.0),
        (None, "1970-01-01T00:33:20Z", 2000.0),
    ],
)
def test_a_time_is_seconds_from_now_or_a_moment(delay: str | None, moment: str | None, due: float | None) -> None:
    assert when(delay, moment, 1000.0) == due


@pytest.mark.parametrize(
    ("delay", "moment", "message"),
    [
        ("1", "2", "--in and --at are both given"),
        ("soon", None, '--in is "soon"; expected a number of seconds, 0 or more'),
        ("-1", None, '--in is "-1"; expected'),
        ("nan", None, '--in is "nan"; expected'),
        (None, "15", '--at is "15"; expected epoch seconds or a time'),
        (None, "tomorrow", '--at is "tomorrow"; expected epoch seconds or a time'),
        (None, "inf", '--at is "inf"; expected'),
    ],
)
def test_a_time_that_is_none_is_refused(delay: str | None, moment: str | None, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        when(delay, moment, 0.0)
    assert str(refused.value).startswith(message)


def test_a_file_is_pushed_a_job_per_line(redis: redis_py.Redis, command: Command, tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("".join(f'[{n}, "é"]\n' for n in range(2500)) + "\n")
    ran = command("push", "HardJob", "--each", "jobs", "-q", "low")
    assert ran[:] == (0, "pushed 2,500\n", "")
    jobs = [json.loads(raw) for raw in redis.lrange("queue:low", 0, -1)]
    assert [job["args"] for job in reversed(jobs)] == [[n, "é"] for n in range(2500)]
    assert len({job["jid"] for job in jobs}) == 2500


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"a": 1}', "line 1501 is '{\"a\": 1}'; expected a JSON array of arguments; 1,000 jobs before are pushed"),
        ("[1", 'line 1501 is "[1"; expected a JSON array of arguments; 1,000 jobs before are pushed'),
    ],
)
def test_a_line_that_is_no_job_is_named_with_how_far_it_came(
    redis: redis_py.Redis, command: Command, tmp_path: Path, line: str, message: str
) -> None:
    (tmp_path / "jobs").write_text("[1]\n" * 1500 + line + "\n[2]\n")
    assert command("push", "HardJob", "--each", "jobs")[:] == (2, "", f"pykiq: {message}\n")
    assert redis.llen("queue:default") == 1000


def test_arguments_and_a_file_are_not_given_together(command: Command, tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("[1]\n")
    ran = command("push", "HardJob", "[1]", "--each", "jobs")
    assert ran.err == "pykiq: JSON-ARGS and --each are both given; expected one of them\n"

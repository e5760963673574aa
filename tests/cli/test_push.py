"""`pykiq push`: from a shell into a queue."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from pykiq import Client
from pykiq.cli import push_options
from pykiq.cli.pushing import parsed_arguments
from pykiq.cli.times import when
from pykiq.client import configure
from pykiq.errors import ConfigError
from pykiq.jobs.registry import registry
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
        ("5m", None, 1300.0),
        ("1h30m", None, 6400.0),
        ("1.5 d", None, 130600.0),
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
        ("5 minutes", None, '--in is "5 minutes"; expected a number of seconds, 0 or more, or a length of time'),
        ("9" * 400 + "d", None, '--in is "999'),
        ("nan", None, '--in is "nan"; expected'),
        (None, "15", '--at is "15"; expected epoch seconds or a time'),
        (
            None,
            "15m",
            '--at is "15m"; expected epoch seconds or a time such as 2031-05-01T12:00:00+02:00; did you mean',
        ),
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


@pytest.fixture
def handlers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The path of a module with handlers; what it declares is forgotten afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "push_handlers.py").write_text(
        "import pykiq\n"
        "@pykiq.job('Billing::ChargeJob', queue='critical', retry=5, tags=['vip'], timeout=30)\n"
        "def charge(order, note=''): ...\n"
        "@pykiq.job('ReportJob', active_job=True, queue='reports')\n"
        "def report(number): ...\n"
    )
    yield "push_handlers.py"
    registry.clear()
    configure.forget()
    sys.modules.pop("push_handlers", None)


def pushed(redis: redis_py.Redis, queue: str) -> dict[str, Any]:
    job: dict[str, Any] = json.loads(redis.lindex(f"queue:{queue}", 0))
    return job


@pytest.mark.parametrize("where", ["flag", "file", "variable"])
def test_a_class_whose_handler_is_loaded_is_pushed_with_its_options(
    where: str, handlers: str, redis: redis_py.Redis, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == "file":
        (tmp_path / "config").mkdir()
        (tmp_path / "config" / "sidekiq.yml").write_text(f"pykiq:\n  require: {handlers}\n")
    elif where == "variable":
        monkeypatch.setenv("PYKIQ_REQUIRE", handlers)
    flags = ("-r", handlers) if where == "flag" else ()
    ran = command("push", "Billing::ChargeJob", "[7]", *flags)
    assert (ran.code, ran.err) == (0, "")
    job = pushed(redis, "critical")
    assert (job["class"], job["args"], job["retry"], job["tags"], job["timeout"]) == (
        *("Billing::ChargeJob", [7], 5, ["vip"], 30),
    )
    assert list(job) == list(json.loads(_by_hand(redis)))


def _by_hand(redis: redis_py.Redis) -> bytes:
    """What the program itself would have pushed."""
    handler = registry.get("Billing::ChargeJob")
    assert handler is not None
    redis.delete("queue:critical")
    class_, _ = push_options.class_of("Billing::ChargeJob")
    Client(redis=redis).push({"class": class_, "args": [7]})
    return redis.lindex("queue:critical", 0)  # type: ignore[return-value]


def test_flags_go_before_the_handler_s_options(handlers: str, redis: redis_py.Redis, command: Command) -> None:
    flags = ("-q", "low", "--retry", "false", "--set", "timeout=90", "--set", "note=hello", "--set", 'tags=["a", "b"]')
    assert command("push", "Billing::ChargeJob", "[7]", "-r", handlers, *flags).code == 0
    job = pushed(redis, "low")
    assert (job["queue"], job["retry"], job["timeout"], job["note"], job["tags"]) == (
        *("low", False, 90, "hello", ["a", "b"]),
    )


def test_an_active_job_is_pushed_in_rails_envelope(handlers: str, redis: redis_py.Redis, command: Command) -> None:
    assert command("push", "ReportJob", "[42]", "-r", handlers).code == 0
    job = pushed(redis, "reports")
    assert (job["wrapped"], job["args"][0]["job_class"], job["args"][0]["arguments"]) == (
        "ReportJob",
        "ReportJob",
        [42],
    )


def test_a_file_is_pushed_with_them_too(handlers: str, redis: redis_py.Redis, command: Command, tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("[1]\n[2]\n")
    ran = command("push", "Billing::ChargeJob", "--each", "jobs", "-r", handlers, "--retry", "0")
    assert ran[:] == (0, "pushed 2\n", "")
    assert (pushed(redis, "critical")["retry"], pushed(redis, "critical")["tags"]) == (0, ["vip"])


def test_arguments_that_the_handler_cannot_take_are_refused(
    handlers: str, redis: redis_py.Redis, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "jobs").write_text("[1]\n[1,2,3]\n")
    for flags, place in ((["[1,2,3]"], ""), (["--each", "jobs"], "in lines 1 to 2: ")):
        ran = command("push", "Billing::ChargeJob", *flags, "-r", handlers)
        assert ran.code == 2
        assert ran.err.startswith(
            f"pykiq: {place}`Billing::ChargeJob` is charge(order, note=''); it was given 3 arguments"
        )
    assert redis.dbsize() == 0


@pytest.mark.parametrize("name", ["Billing::ChargeJbo", "Billing::ChargeJobs", "Biling::ChargeJob", "ReportJbo"])
def test_a_class_that_looks_like_a_slip_is_pushed_with_a_warning(
    name: str, handlers: str, redis: redis_py.Redis, command: Command
) -> None:
    ran = command("push", name, "-r", handlers)
    assert ran.code == 0
    meant = "ReportJob" if name.startswith("R") else "Billing::ChargeJob"
    assert (
        ran.err
        == f"pykiq: no handler that was loaded is called {name}; did you mean `{meant}`? It is pushed as it is\n"
    )
    assert pushed(redis, "default")["class"] == name
    assert command("push", "QuiteAnotherJob", "-r", handlers).err == ""


def test_a_class_without_a_handler_takes_options_too(redis: redis_py.Redis, command: Command) -> None:
    ran = command("push", "HardJob", "[1]", "--retry", "3", "--set", "lock=until_executed", "--set", "jid=mine")
    assert ran[:] == (0, "mine\n", "")
    job = pushed(redis, "default")
    assert (job["retry"], job["lock"], job["jid"]) == (3, "until_executed", "mine")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("5", 5), ("5.5", 5.5), ("true", True), ("null", None), ('"5"', "5"), ('{"a": [1]}', {"a": [1]})),
        *(("five", "five"), ("a=b", "a=b"), ("", ""), ("007", "007"), ("NaN", "NaN"), (" x", " x")),
    ],
)
def test_a_value_is_json_or_else_text(text: str, value: object) -> None:
    assert push_options.options_of(None, None, [f"note={text}"]) == {"note": value}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--retry", "often"], '--retry is "often"; expected true, false or how many times to retry'),
        (["--retry", "-1"], '--retry is "-1"; expected true'),
        (["--retry", "²"], '--retry is "²"; expected true'),
        (["--set", "timeout"], '--set is "timeout"; expected KEY=VALUE'),
        (["--set", "=5"], '--set is "=5"; expected KEY=VALUE'),
        (["--set", "args=[1]"], '--set is "args=[1]"; the job\'s args is given as JSON-ARGS'),
        (["--set", "at=5"], '--set is "at=5"; the job\'s at is given as --at or --in'),
        (["--set", 'tags=["a"'], "--set tags is '[\"a\"', which is not JSON ("),
        (["--set", "tags=a"], "`tags` is 'a'; expected a list of strings"),
        (["--set", "timeout=soon"], "`timeout` is 'soon' (str); expected seconds"),
        (["--set", 'timeout="5m"'], "`timeout` is '5m' (str); expected seconds as a number"),
        (["--set", "note=1e999"], "option `note` is inf; JSON has no such number"),
        (["--set", "retry_count=1"], "`retry_count` belongs to one job"),
        (["--set", "retry=5", "--retry", "5"], "the option retry is given twice"),
        (["--set", "a=5", "--set", "a=6"], "the option a is given twice"),
        (["-q", "a", "--set", "queue=b"], "the option queue is given twice"),
        (["-q", ""], "`queue` is ''; expected the name of a queue"),
        (["-r", "nowhere"], "--require is nowhere; there is no module nowhere"),
    ],
)
def test_options_that_are_none_are_refused_in_one_line(
    flags: list[str], message: str, redis: redis_py.Redis, command: Command
) -> None:
    ran = command("push", "HardJob", *flags)
    assert ran.code == 2
    assert ran.err.startswith(f"pykiq: {message}")
    assert ran.err.count("\n") == 1
    assert redis.dbsize() == 0


def test_an_option_that_means_nothing_is_told_in_one_line(redis: redis_py.Redis, command: Command) -> None:
    ran = command("push", "HardJob", "--set", "retries=5")
    assert ran.code == 0
    assert ran.err == (
        "pykiq: the option `retries` is kept on the payload and means nothing to pykiq; did you mean `retry`?\n"
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("-q", "caf\udce9"), "in UTF-8"),
        (("--set", "retry_queue=caf\udce9"), "expected the name of a queue, in UTF-8"),
        (("--set", "jid=5"), "--set jid is "),
        (("--set", "jid="), "--set jid is "),
        (("--set", "jid=[1]"), "--set jid is "),
        (("--retry", "9" * 5000), "--retry is "),
    ],
)
def test_a_flag_that_no_job_can_have_is_one_line_and_pushes_nothing(
    redis: redis_py.Redis, command: Command, flags: tuple[str, str], message: str
) -> None:
    done = command("push", "HardJob", "[1]", *flags)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1
    assert redis.keys() == []

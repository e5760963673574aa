"""Every error of the command is one line and one documented exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import redis as redis_py

from pykiq.cli import main
from pykiq.cli.main import COMMANDS
from pykiq.version import __version__
from tests.admin.conftest import failed
from tests.cli.command import environment, pykiq_command


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("REDIS_URL", "REDIS_PROVIDER", "APP_ENV", "RAILS_ENV", "RACK_ENV", "RAILS_MAX_THREADS"):
        monkeypatch.delenv(name, raising=False)


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("--version", "-V"):
        assert main([flag]) == 0
        assert capsys.readouterr().out == f"pykiq {__version__}\n"


def test_python_m_pykiq_is_the_command(tmp_path: Path) -> None:
    done = pykiq_command("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"pykiq {__version__}\n")


@pytest.mark.parametrize("arguments", [["-h"], ["--help"], ["run", "-h"], ["push", "--help"], ["stats", "-h"]])
def test_help_ends_with_zero(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert "Usage: pykiq" in capsys.readouterr().out


def test_no_subcommand_shows_the_help_and_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Usage: pykiq" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], "no such command `rnu`; did you mean `run`?"),
        (["zzz"], "no such command `zzz`; `pykiq --help` lists them"),
        (["run", "--concurency", "3"], "`pykiq run` has no option --concurency; did you mean --concurrency?"),
        (["run", "-i", "3"], "`pykiq run` has no option -i; `pykiq run --help` lists them"),
        (["run", "-c", "abc"], '--concurrency is "abc"; expected a whole number from 1 to 10000'),
        (["run", "-q", "a,b"], '--queue is "b"; expected a whole number from 0 to 10000, as the weight of queue `a`'),
        (["run", "--foreign", "dad"], '--foreign is "dad"; expected leave, retry or dead; did you mean `dead`?'),
        (["run", "--wire", "5"], '--wire is "5"; expected auto, 8, 7 or 6'),
        (["run", "--redis", "localhost"], "--redis is not a URL of Redis; expected a URL like redis://host:6379/0"),
        (["run", "-C", "none.yml"], '--config is "none.yml"; no such file; give the path of a sidekiq.yml'),
        (["run"], "no handlers: give --require MODULE, such as --require app.handlers or --require jobs.py"),
        (["run", "--procs", "2"], "`pykiq run` has no option --procs"),
        (["push"], "missing argument 'CLASS'; see `pykiq push --help`"),
        (["stats", "x"], "got unexpected extra argument (x); see `pykiq stats --help`"),
        (
            ["stats", "--redis", "redis://h?bogus=1"],
            "--redis is a URL of the host `h`; expected only parameters that a Redis URL may have: db, ",
        ),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_two(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"pykiq: {message}")
    assert printed.err.count("\n") == 1
    assert printed.out == ""


@pytest.mark.parametrize("command", [["stats"], ["push", "HardJob"]])
def test_a_server_that_is_not_there_is_one_line_without_the_password_and_exit_code_one(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--redis", "redis://:s3cret@127.0.0.1:1/0"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("pykiq: Redis at redis://:***@127.0.0.1:1/0 does not answer")
    assert error.count("\n") == 1
    assert "s3cret" not in error


def test_a_subcommand_is_loaded_when_it_is_used_and_not_before() -> None:
    code = "import sys; from pykiq.cli import main; main(['push', '-h']); print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    loaded = {name.removeprefix("pykiq.cli.") for name in shown.stdout.split() if name.startswith("pykiq.cli.")}
    assert loaded == {"main", "options", "push", "output", "inherited"}


def test_no_garbage_is_looked_for_while_a_subcommand_is_loaded() -> None:
    code = (
        "import gc, sys\n"
        "from pykiq.cli import main\n"
        "gc.collect()\n"
        "seen = []\n"
        "gc.callbacks.append(lambda phase, info: seen.append('pykiq.worker.process' in sys.modules))\n"
        "main(['run', '-h'])\n"
        "assert seen == [True] * len(seen), seen\n"
        "assert gc.isenabled()"
    )
    subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["push", "--help"]])
def test_help_is_printed_without_loading_what_talks_to_redis(arguments: list[str]) -> None:
    code = f"import sys; from pykiq.cli import main; main({arguments}); print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    loaded = set(shown.stdout.split())
    assert {"pykiq.cli.main", "click"} <= loaded
    heavy = {
        "redis",
        "hiredis",
        "asyncio",
        "ssl",
        "structlog",
        "logging",
        "orjson",
        "yaml",
        "prometheus_client",
        "http",
    }
    assert loaded & heavy == set()
    assert {name for name in loaded if name.startswith(("pykiq.store", "pykiq.client", "pykiq.jobs"))} == set()


def test_every_subcommand_is_where_the_table_says(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        assert main([name, "--help"]) == 0
        assert f"Usage: pykiq {name} " in capsys.readouterr().out


@pytest.mark.parametrize("flags", [["--json"], ["--limit", "5000"]])
def test_a_reader_who_has_seen_enough_ends_it_without_a_word(
    redis: redis_py.Redis, redis_url: str, tmp_path: Path, flags: list[str]
) -> None:
    redis.zadd("dead", {failed(n): n for n in range(5000)})  # more than a pipe holds
    command = [sys.executable, "-m", "pykiq", "dead", *flags, "--redis", redis_url]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(PYTHONUNBUFFERED=""), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        assert run.stdout.readline()
        run.stdout.close()
        assert run.stderr.read() == b""
    assert run.returncode == 141


def test_a_full_disk_is_not_blamed_on_redis(redis: redis_py.Redis, redis_url: str, tmp_path: Path) -> None:
    redis.zadd("dead", {failed(1): 1})
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "pykiq", "dead", "--json", "--redis", redis_url],
            cwd=tmp_path,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ran.returncode == 1
    assert ran.stderr == "pykiq: [Errno 28] No space left on device\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stubs"], "stubs in which language? `pykiq stubs ruby --require MODULE` writes Ruby classes"),
        (["stubs", "rbuy"], "no such command `rbuy`; did you mean `ruby`?"),
        (["stubs", "java"], "no such command `java`; `pykiq stubs --help` lists them"),
        (["run", "handlers"], "was given handlers; modules are given with --require handlers, queues with -q handlers"),
        (["run", "-r", "x", "a.py", "b.py"], "`pykiq run` takes no arguments and was given a.py; modules are given"),
        (
            ["push", "HardJob", "1", "2"],
            "`pykiq push` takes CLASS [JSON-ARGS] and was given 2 besides; see `pykiq push",
        ),
        (["stats", "default"], "got unexpected extra argument (default); see `pykiq stats --help`"),
        (["run", "-r", "x", "-q", "python default"], "did you mean -q python -q default?"),
        (["run", "-r", "x", "-q", " python,2  default "], "did you mean -q python,2 -q default?"),
        (["push", "HardJob", "-q", "a b"], '--queue is "a b"; expected the name of one queue; did you mean -q a?'),
        (["run", "--require", "nope.py"], "--require is nope.py; no such file or directory in "),
        (["run", "--require", "nope.py"], "; did you mean app/jobs.py?"),
        (["run", "--require", "app/jbos.py"], "; did you mean `jobs.py`?"),
        (["run", "--require", "lib/nope.py"], "nor the folder it would be in; did you mean app/jobs.py?"),
        (["run"], "such as --require app.handlers or --require jobs.py; did you mean app/jobs.py?"),
    ],
)
def test_a_message_says_what_was_probably_meant(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "jobs.py").write_text("import pykiq\n")
    (tmp_path / "setup.py").write_text("import setuptools\n")
    (tmp_path / "zz.py").symlink_to("nowhere")
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("words", [["--help"], ["stubs", "--help"]])
def test_summaries_in_lists_of_commands_are_not_cut(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    main(words)
    listed = capsys.readouterr().out.partition("Commands:\n")[2].splitlines()
    assert len(listed) >= 2
    assert [line for line in listed if line.endswith("...") or not line.startswith("  ") or line[2] == " "] == []


def test_the_list_of_commands_loads_none_of_them(tmp_path: Path) -> None:
    code = "import sys; from pykiq.cli import main; main(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    listed, _, loaded = done.stdout.rstrip().rpartition("\n")
    assert all(f"\n  {name} " in listed for name in COMMANDS)
    assert {known.place.partition(":")[0] for known in COMMANDS.values()} & set(loaded.split()) == set()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["push", "HardJob", "-q", "caf\udce9"], r'--queue is "caf\udce9"; expected text in UTF-8'),
        (
            ["push", "HardJob", "--set", "queue=caf\udce9"],
            r"`queue` is 'caf\udce9'; expected the name of a queue, in UTF-8",
        ),
        (["push", "HardJob", "--set", "retry_queue=caf\udce9"], r"`retry_queue` is 'caf\udce9'; expected the name"),
        (["run", "-r", "caf\udce9"], r"expected "),
        (["run", "-r", "x", "-q", "caf\udce9"], r'--queue is "caf\udce9"; expected text in UTF-8'),
        (["stats", "--redis", "redis://caf\udce9"], "--redis is no UTF-8; expected a URL in UTF-8"),
        (["stats", "--redis", "redis://:caf\udce9@h"], "--redis is no UTF-8; expected a URL in UTF-8"),
        (["stubs", "python", "HardJob", "-q", "caf\udce9"], r'--queue is "caf\udce9"; expected text in UTF-8'),
        (["stubs", "ruby", "-r", "x", "--route-to", "caf\udce9"], r'--route-to is "caf\udce9"; expected text in UTF-8'),
    ],
)
def test_bytes_of_a_command_line_that_are_not_utf8_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert (printed.startswith("pykiq: "), printed.count("\n")) == (True, 1)


def test_a_login_that_is_refused_is_told_from_a_server_that_is_away(
    redis: redis_py.Redis, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    redis.execute_command("ACL", "SETUSER", "silent", "on", ">pw", "~*", "-@all", "+get")
    try:
        host = redis_url.partition("://")[2]
        assert main(["stats", "--redis", f"redis://silent:pw@{host}"]) == 1
        may_not = capsys.readouterr().err
        assert main(["stats", "--redis", f"redis://silent:wrong@{host}"]) == 1
        is_not = capsys.readouterr().err
    finally:
        redis.execute_command("ACL", "DELUSER", "silent")
    assert "refuses this login" in may_not
    assert "+ping" in may_not
    assert "refuses this login" in is_not
    assert "check the user and the password" in is_not
    assert "server is up" not in may_not + is_not

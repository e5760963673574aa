"""`pykiq run` from its flags to its exit code, as a process of its own beside a real server."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from pykiq.cli.run import with_tag
from pykiq.config import Config
from pykiq.config.environment import Given
from pykiq.config.load import Loaded
from tests.cli.command import pykiq_command, start
from tests.servers import Server, free_port, wait_until

pytestmark = pytest.mark.system

JOBS = """
import pykiq, redis, os

@pykiq.job("Echo", queue="low")
def echo(value):
    redis.Redis.from_url(os.environ.get("ECHO_URL") or os.environ["REDIS_URL"]).rpush("echoed", value)
"""

LOOKING = """
import os, sys, redis, pykiq

@pykiq.job("Look")
def look():
    redis.Redis.from_url(os.environ["REDIS_URL"]).rpush("loaded", " ".join(sys.modules))
"""

HEAVY = {
    "prometheus_client", "http.server",  # --metrics-port
    "pykiq.config.sidekiq_yml", "yaml",  # sidekiq.yml
    "pykiq.worker.swarm",  # --processes
    "rich",  # nobody: structlog loads it where it is installed
}  # fmt: skip
"""What a worker has not in memory unless it was started with what is named beside it."""

Worker = tuple["subprocess.Popen[bytes]", Callable[[], list[dict[str, Any]]]]


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    path = tmp_path / "run_jobs.py"
    path.write_text(JOBS)
    return path


@pytest.fixture
def worker(tmp_path: Path, jobs: Path) -> Iterator[Callable[..., Worker]]:
    """Start `pykiq run` with JSON lines; gives the process and a reader of its log."""
    processes = []
    log = tmp_path / "log"

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]

    def begin(*arguments: str, **variables: str) -> Worker:
        process = start("run", *arguments, cwd=tmp_path, log=log, **variables)
        processes.append(process)
        return process, lines

    yield begin
    for process in processes:
        process.kill()
        process.wait()


def event(lines: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    return next((line for line in lines if line["event"] == name), None)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_runs_what_is_pushed_and_stops_with_zero(
    worker: Callable[..., Worker], redis: redis_py.Redis, redis_url: str, tmp_path: Path, signum: signal.Signals
) -> None:
    pushed = pykiq_command("push", "Echo", '["hello"]', "-q", "low", cwd=tmp_path, REDIS_URL=redis_url)
    assert pushed.returncode == 0
    redis.lpush("queue:low", b'{"class":"OnlyInRuby","args":[],"jid":"r"}')
    process, log = worker("-r", "run_jobs", "-q", "low,2", "-q", "default", "-c", "2", "-t", "3", REDIS_URL=redis_url)
    wait_until(lambda: redis.lrange("echoed", 0, -1) == [b"hello"], what="the job")
    process.send_signal(signum)
    assert process.wait(20) == 0
    lines = log()
    assert (event(lines, "starting") or {})["concurrency"] == 2
    assert (event(lines, "serving") or {})["queues"] == ["low,2", "default"]
    assert (event(lines, "handling") or {})["handlers"] == {"Echo": "low"}
    assert (event(lines, "waiting_without_handler") or {})["classes"] == {"OnlyInRuby": 1}
    assert redis.lrange("queue:low", 0, -1) == [b'{"class":"OnlyInRuby","args":[],"jid":"r"}']


def test_a_file_and_the_environment_configure_a_worker(
    worker: Callable[..., Worker], redis: redis_py.Redis, redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "sidekiq.yml").write_text(
        ":queues: [low]\n:concurency: 3\nqa:\n  :concurrency: <%= ENV['THREADS'] || 2 %>\n"
    )
    process, log = worker(
        PYKIQ_REQUIRE="run_jobs.py", MY_REDIS=redis_url, REDIS_PROVIDER="MY_REDIS", ECHO_URL=redis_url, RAILS_ENV="qa"
    )
    redis.lpush("queue:low", b'{"class":"Echo","args":["x"],"jid":"1"}')
    wait_until(lambda: redis.llen("echoed"), what="the job")
    wait_until(lambda: event(log(), "running"))
    process.terminate()
    assert process.wait(20) == 0
    starting = event(log(), "starting") or {}
    assert (starting["concurrency"], starting["environment"]) == (2, "qa")
    assert starting["config"] == "config/sidekiq.yml"
    assert "did you mean `concurrency`" in (event(log(), "configuration") or {})["note"]


def test_what_the_handlers_module_configures_counts_below_the_flags(
    worker: Callable[..., Worker], jobs: Path, redis: redis_py.Redis, redis_url: str
) -> None:
    jobs.write_text(JOBS + f"pykiq.configure(redis={redis_url!r}, queues=['low'], concurrency=4)\n")
    process, log = worker("-r", "run_jobs", "-c", "1", ECHO_URL=redis_url)
    redis.lpush("queue:low", b'{"class":"Echo","args":["x"],"jid":"1"}')
    wait_until(lambda: redis.llen("echoed") or process.poll() is not None, what="the job")
    process.terminate()
    assert process.wait(20) == 0
    assert redis.lrange("echoed", 0, -1) == [b"x"]
    assert (event(log(), "starting") or {})["concurrency"] == 1


def test_a_server_that_is_not_there_ends_with_one(jobs: Path, tmp_path: Path) -> None:
    done = pykiq_command("run", "-r", "run_jobs", "--redis", "redis://:s3cret@127.0.0.1:1", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("pykiq: Redis at redis://:***@127.0.0.1:1 does not answer")
    assert "s3cret" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_cluster_ends_with_one(jobs: Path, tmp_path: Path) -> None:
    # The bus is at the port plus 10,000 by default, which may be past the last port there is.
    server = Server(options=("--cluster-enabled", "yes", "--cluster-port", str(free_port())))
    try:
        done = pykiq_command("run", "-r", "run_jobs", cwd=tmp_path, REDIS_URL=server.start().url)
    finally:
        server.stop()
    assert done.returncode == 1
    assert "is a cluster" in done.stderr.splitlines()[-1]


def test_a_module_that_raises_ends_with_one_after_its_traceback(jobs: Path, tmp_path: Path, redis_url: str) -> None:
    jobs.write_text("def boom():\n    raise ValueError('no model file')\n\nboom()\n")
    done = pykiq_command("run", "-r", "run_jobs", cwd=tmp_path, REDIS_URL=redis_url)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == f'  File "{jobs}", line 4, in <module>'
    assert lines[-1] == f"pykiq: --require run_jobs could not be loaded: ValueError: no model file ({jobs}:2)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-r", "run_jbos"), "did you mean `run_jobs`?"),
        (("-r", "empty"), "--require empty declares no handler; expected a function with @pykiq.job"),
        (("-r", "run_jobs", "-q", ""), '--queue is ""; expected a queue with a name'),
    ],
)
def test_nothing_to_run_ends_with_two(
    jobs: Path, tmp_path: Path, redis_url: str, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "empty.py").write_text("")
    done = pykiq_command("run", *arguments, cwd=tmp_path, REDIS_URL=redis_url)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("directory", "tag"),
    [
        ("/srv/shop", "shop"),
        ("/srv/shop/current", "shop"),
        ("/srv/shop/releases/20310501", "shop"),
        ("/", ""),
        ("/srv/caf\udce9", "caf?"),
    ],
)
def test_the_tag_is_the_name_of_the_application_directory(directory: str, tag: str) -> None:
    assert with_tag(Loaded(Config(), {}), Path(directory)).config.tag == tag


def test_a_tag_that_was_given_stays() -> None:
    given = Loaded(Config.of(tag="mine"), {"tag": Given("mine", "--tag")})
    assert with_tag(given, Path("/srv/shop")) is given


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_modules_are_being_imported_is_a_clean_exit(
    number: signal.Signals, tmp_path: Path, redis_url: str
) -> None:
    (tmp_path / "slow.py").write_text("from pathlib import Path\nPath('importing').touch()\nwhile True: pass\n")
    log = tmp_path / "log"
    worker = start("run", "--require", "slow.py", "--redis", redis_url, cwd=tmp_path, log=log)
    wait_until((tmp_path / "importing").exists, 30, "the import")
    worker.send_signal(number)
    assert worker.wait(10) == 0
    assert "had not started yet" in log.read_text()


def test_a_thread_that_a_job_left_behind_does_not_hold_the_exit_up(
    tmp_path: Path, redis: redis_py.Redis, redis_url: str
) -> None:
    (tmp_path / "jobs.py").write_text(
        "import asyncio, time, pykiq\nfrom pathlib import Path\n"
        "@pykiq.job('StuckJob')\nasync def stuck():\n    Path('began').touch()\n"
        "    await asyncio.to_thread(time.sleep, 60)\n"
    )
    log = tmp_path / "log"
    worker = start("run", "-r", "jobs.py", "--redis", redis_url, "-t", "0.2", cwd=tmp_path, log=log)
    redis.sadd("queues", "default")
    redis.lpush("queue:default", b'{"retry":true,"queue":"default","class":"StuckJob","args":[],"jid":"a"}')
    wait_until((tmp_path / "began").exists, 30, "the job")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert "threads_left_running" in log.read_text()
    assert redis.llen("queue:default") == 1


@pytest.mark.parametrize(
    ("flags", "needed"), [((), set()), (("--metrics-port", "0"), {"prometheus_client", "http.server"})]
)
def test_a_worker_has_loaded_what_its_flags_need_and_no_more(
    worker: Callable[..., Worker],
    redis: redis_py.Redis,
    redis_url: str,
    tmp_path: Path,
    flags: tuple[str, ...],
    needed: set[str],
) -> None:
    """Nearly all of an idle worker's memory is modules: each line of HEAVY is about a megabyte.

    What jobs need is there from the start, Rails' included: at the first of them its file may have gone.
    """
    (tmp_path / "looking.py").write_text(LOOKING)
    worker("-r", "looking", "-q", "default", *flags, REDIS_URL=redis_url)
    redis.lpush("queue:default", b'{"class":"Look","args":[],"jid":"1"}')
    _, modules = redis.blpop(["loaded"], 20) or pytest.fail("the job did not run")
    loaded = set(modules.decode().split())
    assert loaded & HEAVY == needed
    assert {"decimal", "pykiq.jobs.activejob", "pykiq.wire.ajarguments"} <= loaded

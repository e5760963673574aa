"""Every file of `examples/` is run as its first lines say, against a real server, and the demo as `make demo` does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis as redis_py

from tests.interop.ruby import Program
from tests.servers import wait_until

pytestmark = pytest.mark.system

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))


def environment(redis_url: str = "") -> dict[str, str]:
    ours = ("PYKIQ_", "REDIS_", "RAILS_", "RACK_", "APP_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "REDIS_URL": redis_url, "PYTHONPATH": str(ROOT)} if redis_url else kept


class Example:
    """One example: `worker` runs it as `pykiq run --require` does, `push` as a script."""

    def __init__(self, name: str, redis: redis_py.Redis, redis_url: str, folder: Path) -> None:
        self.path = f"examples/{name}.py"
        self.redis = redis
        self.env = environment(redis_url)
        command = [sys.executable, "-m", "pykiq", "run", "--require", self.path, "--log-format", "json"]
        self.worker = Program(command, folder / "worker.log", self.env)
        self.worker.wait_for_heartbeat(redis)

    def push(self) -> str:
        return push(self.path, self.env)

    def log(self, event: str) -> list[dict[str, Any]]:
        lines = (json.loads(line) for line in self.worker.text().splitlines() if line.startswith("{"))
        return [line for line in lines if line["event"] == event]

    def wait_for(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        wait_until(lambda: len(self.log(event)) >= count, 15, f"{count} × `{event}` in {self.worker.text()[-3000:]}")
        return self.log(event)

    def entries(self, key: str) -> list[dict[str, Any]]:
        found: Any = self.redis.zrange(key, 0, -1)
        return [json.loads(raw) for raw in found]


def push(path: str, env: dict[str, str]) -> str:
    ran = subprocess.run(
        [sys.executable, "-W", "error", path],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture
def example(
    request: pytest.FixtureRequest,
    redis: redis_py.Redis,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Example]:
    """The example that the test's marker parameter names, with its worker."""
    monkeypatch.chdir(ROOT)
    running = Example(request.param, redis, redis_url, tmp_path)
    with running.worker:
        yield running


def runs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("example", [name], indirect=True)


@runs("plain_job")
def test_a_plain_job_runs_however_it_was_pushed(example: Example) -> None:
    printed = example.push()
    charged = example.wait_for("charged", 6)
    assert sorted((line["order"], line["cents"]) for line in charged) == [
        *((42, 100), (43, 250)),
        *((44, 100), (44, 200), (44, 300)),
        (45, 100),
    ]
    assert printed.splitlines()[-1] == "100", "perform_inline returns what the handler returns"


@runs("class_job")
def test_a_class_decides_about_its_retries_and_hears_of_its_end(example: Example) -> None:
    example.push()
    example.wait_for("imported")
    example.wait_for("fail", 2)
    wait_until(lambda: example.entries("retry"), what="an entry in retry")
    [retry] = example.entries("retry")
    assert retry["args"] == ["https://flaky.example.com"]
    assert retry["error_class"].endswith("Unreachable")
    [dead] = example.entries("dead")
    assert dead["args"] == ["https://example.com/gone"]
    assert dead["retry_count"] == 0
    [told] = example.redis.lrange("queue:ruby", 0, -1)
    assert json.loads(told)["class"] == "Feeds::GiveUpJob"

    [due] = example.redis.zrange("retry", 0, -1, withscores=True)
    assert 0 < due[1] - time.time() <= 11, "1 s and the jitter"
    example.redis.zadd("retry", {due[0]: time.time()})
    again = example.wait_for("imported", 2)
    assert (again[-1]["url"], again[-1]["attempt"]) == ("https://flaky.example.com", 1)


@runs("async_job")
def test_async_jobs_run_side_by_side_and_end_at_their_timeout(example: Example) -> None:
    example.push()
    assert {"a.example": 9, "bc.example": 10} in [line["sizes"] for line in example.wait_for("fetched", 21)]
    [failed] = example.wait_for("fail")
    assert failed["error_class"] == "pykiq.errors.JobTimeout"
    assert 1.4 < failed["elapsed"] < 10


@runs("active_job")
def test_an_active_job_gets_its_keywords_and_is_tried_as_rails_counts(example: Example) -> None:
    example.push()
    [printed] = example.wait_for("printed")
    told = {"order": "42", "due": "2030-01-31", "copies": 1, "paper": "letter", "class": "InvoiceJob"}
    assert {name: printed[name] for name in told} == told
    ended = example.wait_for("done", 3)
    assert [line.get("error_message") for line in ended] == ["try 1", "try 2", None]
    assert example.entries("retry") == []


@runs("middleware")
def test_middleware_is_around_every_push_and_every_execution(example: Example) -> None:
    printed = example.push().splitlines()
    assert printed[2] == "None", "the third push was stopped"
    timed = example.wait_for("timed", 2)
    assert {line["class"] for line in timed} == {"Reports::BuildJob", "Reports::SendJob"}
    assert {line["tenant"] for line in timed} == {"acme"}


@runs("lifecycle")
def test_a_worker_tells_of_its_life_and_of_failures(example: Example) -> None:
    example.push()
    example.wait_for("divided")
    [reported] = example.wait_for("report this to your error tracker")
    assert "ZeroDivisionError" in reported["error"]
    assert example.wait_for("tell somebody")[0]["dead"] == "Risky::Job"
    assert example.worker.stop() == 0
    told = [json.loads(line)["event"] for line in example.worker.text().splitlines()]
    phases = [event.partition(":")[0] for event in told if event.startswith(("startup:", "shutdown:", "exit:"))]
    assert phases == ["startup", "shutdown", "exit"]


@runs("job_fates")
def test_a_handler_decides_what_becomes_of_its_job(example: Example) -> None:
    example.push()
    shipped = example.wait_for("shipped", 2)
    assert [line["order"] for line in shipped] == ["fine", "patient"]
    wait_until(lambda: example.entries("dead"), what="an entry in dead")
    assert [entry["args"] for entry in example.entries("dead")] == [["corrupt"]]
    assert example.entries("retry") == []
    assert "discarded" in [line.get("next") for line in example.log("done")]


def test_jobs_for_ruby_wait_in_its_queue(redis: redis_py.Redis, redis_url: str) -> None:
    printed = push("examples/push_to_ruby.py", environment(redis_url))
    assert redis.llen("queue:ruby") == 1 + 1 + 100 + 2
    assert redis.llen("queue:low") == 1
    assert redis.zcard("schedule") == 2 + 2
    assert redis.smembers("queues") == {b"ruby", b"low"}
    oldest = json.loads(redis.lindex("queue:ruby", -1) or b"")
    assert list(oldest) == ["retry", "queue", "args", "class", "jid", "created_at", "enqueued_at"]
    assert (oldest["class"], oldest["args"], oldest["retry"]) == ("HardJob", [1, "two", {"three": 3}], 5)
    assert 'args[2]["at"]' in printed


def test_operating_moves_and_counts_jobs(redis: redis_py.Redis, redis_url: str) -> None:
    printed = push("examples/operating.py", environment(redis_url)).splitlines()
    assert printed == [
        *("pushed now: 2", "deleted: True", "dead lately: []"),
        "waiting: {'reports': 1} retries: 0",
    ]
    assert redis.llen("queue:reports") == 1
    assert redis.zcard("schedule") == 0


ASK_FASTAPI = """
import sys, time
sys.path.insert(0, "examples")
from fastapi.testclient import TestClient
from fastapi_app import app
with TestClient(app) as client:
    assert client.get("/health").json() == {"worker": "running"}
    assert client.get("/reports/42").status_code == 404
    jid = client.post("/reports/42").json()["jid"]
    deadline = time.monotonic() + 10
    while client.get("/reports/42").status_code == 404:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert client.get("/reports/42").json() == {"report": f"report 42, built by the job {jid}"}
assert app.state.worker.exit_code == 0
"""


def test_fastapi_app_has_a_worker_for_its_lifespan(redis: redis_py.Redis, redis_url: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", ASK_FASTAPI],
        cwd=ROOT,
        env=environment(redis_url),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert redis.smembers("processes") == set()


def test_django_app_runs_its_jobs_beside_its_requests(redis: redis_py.Redis, redis_url: str, tmp_path: Path) -> None:
    env = {**environment(redis_url), "PORT": "0", "TMPDIR": str(tmp_path)}
    with Program([sys.executable, "examples/django_app.py"], tmp_path / "log", env) as program:
        wait_until(lambda: "serving on" in program.text() or program.process.poll(), what="the server")
        found = re.search(r"http://localhost:\d+", program.text())
        assert found, program.text()
        order = f"{found[0]}/orders/42"
        assert httpx.post(order).json() == {"ordered": 42}
        wait_until(lambda: httpx.get(order).json() == {"charged": True}, what="the job")


def test_the_demo_comes_true() -> None:
    ran = subprocess.run(
        [sys.executable, "examples/demo/run.py"],
        cwd=ROOT,
        env={**environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    for version in ("6.4.1", "7.3.2", "8.1.7"):
        assert f"   {version}    retry_zero_dead" in ran.stdout
    assert "exit code 0" in ran.stdout


def test_no_example_is_left_out() -> None:
    tests = Path(__file__).read_text("utf-8")
    assert [name for name in EXAMPLES if name.removesuffix(".py") not in tests] == []

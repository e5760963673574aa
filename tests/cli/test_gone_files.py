"""A worker whose release has been removed, and one without a free descriptor: it reads no file once it is running."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from pykiq.store.claim import Berth
from tests.cli.command import ROOT, start
from tests.servers import wait_until

pytestmark = pytest.mark.system

# The hook sees every file that Python opens and every module that it looks for, in all threads and forked processes,
# from the moment the worker is about to run; `os.write` needs no descriptor that is not there.
JOBS = """
import asyncio, os, resource, sys
import pykiq
from pykiq.store.connection import connect

REPORT = os.open(os.environ["REPORT"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
# One connection, for which jobs that run at once wait: without a free descriptor there is no second one.
store = connect(pykiq.Config.of(redis=os.environ["REDIS_URL"] + "?max_connections=1"))
store.ping()
watching = False
held = []

def watch(event, args):
    if watching and event in ("open", "import"):
        os.write(REPORT, f"{event} {args[0]}\\n".encode())

@pykiq.on("startup")
def begin():
    global watching
    watching = True

sys.addaudithook(watch)

@pykiq.job("Plain")
def plain(*args):
    store.rpush("ran", "plain")

@pykiq.job("Async")
async def asynchronous():
    await asyncio.sleep(0.001)
    store.rpush("ran", "async")

@pykiq.job("Fails", backtrace=True)
def fails():
    try:
        {}["missing"]
    except KeyError as error:
        raise ExceptionGroup("several", [ValueError("\\u00e9\\u2603"), NameError("x")]) from error

@pykiq.job("Pushes")
def pushes():
    plain.perform_async(10**30, 1.5)
    plain.perform_in(0.01)
    plain.perform_bulk([[1], [2]])

@pykiq.job("AsyncPushes")
async def async_pushes():
    await plain.aperform_async()

@pykiq.job("Slow", timeout=0.05, retry=False)
def slow():
    while True:
        pass

@pykiq.job("Snoozes")
def snoozes():
    raise pykiq.Snooze(0.1) if not store.incr("snoozed") > 1 else SystemExit(0)

@pykiq.job("Exhaust")
def exhaust():
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    try:
        while True:
            held.append(os.dup(0))
    except OSError:
        store.rpush("ran", "exhaust")

@pykiq.job("Relax")
def relax():
    while held:
        os.close(held.pop())
    store.rpush("ran", "relax")
"""

SYMBOL = {"_aj_serialized": "ActiveJob::Serializers::SymbolSerializer", "value": "a"}
ACTIVE_JOB = {
    "class": "Sidekiq::ActiveJob::Wrapper",
    "wrapped": "Plain",
    "jid": "active",
    "args": [{"job_class": "Plain", "arguments": [SYMBOL]}],
}

OF_THE_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/share/zoneinfo/")
SOURCE = (".py", "<string>")  # lines for a backtrace, which does without


class Worker:
    """A worker from a copy of the package, with the metrics at a port of its own."""

    def __init__(self, folder: Path, redis: redis_py.Redis, url: str, flags: tuple[str, ...]) -> None:
        self.release = folder / "releases" / "1"
        self.release.mkdir(parents=True)
        shutil.copytree(ROOT / "pykiq", self.release / "pykiq", ignore=shutil.ignore_patterns("__pycache__"))
        (self.release / "jobs.py").write_text(JOBS)
        self.report, self.log, self.redis = folder / "report", folder / "log", redis
        self.process: subprocess.Popen[bytes] = start(
            *("run", "-r", "jobs", "-c", "4", "-t", "2", "--metrics-port", "0", *flags),
            cwd=self.release,
            log=self.log,
            REDIS_URL=url,
            PYTHONPATH=str(self.release),
            REPORT=str(self.report),
            PYKIQ_LEASE_TTL="3",
            PYKIQ_SWEEP_INTERVAL="1",
        )
        wait_until(lambda: self.said("running"), 30, "the start")

    def said(self, event: str) -> list[dict[str, Any]]:
        lines = (json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{"))
        return [line for line in lines if line["event"] == event]

    def read_late(self) -> set[str]:
        """What has been read since the start that somebody could have removed."""
        lines = self.report.read_text().splitlines() if self.report.exists() else []
        files = {line.split(" ", 1)[1] for line in lines}
        return {file for file in files if not file.startswith(OF_THE_SYSTEM) and not file.endswith(SOURCE)}

    def push(self, job: str | bytes | dict[str, Any]) -> None:
        if isinstance(job, str):
            job = {"class": job, "args": [], "jid": job.lower(), "retry": True}
        self.redis.lpush("queue:default", json.dumps(job) if isinstance(job, dict) else job)

    def runs(self, what: str) -> None:
        def ran() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return what.encode() in self.redis.lrange("ran", 0, -1)

        wait_until(ran, 20, f"the job {what}")
        self.redis.delete("ran")

    def get(self, path: str) -> bytes:
        port = self.said("metrics")[0]["port"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            body: bytes = answer.read()
            return body

    def does_everything(self) -> None:
        """Each kind of job, each of the poller's duties."""
        redis = self.redis
        self.push("Plain")
        self.runs("plain")
        self.push("Async")
        self.runs("async")
        self.push(ACTIVE_JOB)
        self.runs("plain")
        for odd in ("OnlyInRuby", b"not {json", b'{"class":"Plain","args":[' + b"9" * 5000 + b'],"jid":"long"}'):
            self.push(odd)
        for unlucky in ("Fails", "Slow", "Snoozes"):
            self.push(unlucky)
        self.runs("plain")  # the one with the long number
        wait_until(lambda: self.said("no_handler_here"), 20, "the foreign job")
        wait_until(lambda: redis.zcard("retry") >= 1 and redis.zcard("dead") >= 1, 20, "the failed jobs")
        redis.zadd("schedule", {b'{"class":"Plain","args":[1],"jid":"due","queue":"default"}': time.time() - 1})
        self.runs("plain")
        gone = Berth("gone:1:aaaaaaaaaaaa", ("default",), 3)
        redis.lpush(gone.inflight("default"), b'{"class":"Plain","args":[2],"jid":"of the dead"}')
        gone.renew(redis)
        redis.delete(gone.lease)
        self.runs("plain")
        self.process.send_signal(signal.SIGTTIN)
        wait_until(lambda: self.said("stack"), 20, "the stacks")

    def stops(self) -> None:
        self.process.send_signal(signal.SIGTSTP)
        wait_until(lambda: self.said("quiet"), 20, "quiet")
        self.process.terminate()
        assert self.process.wait(30) == 0, self.log.read_text()
        for failure in ("poll_failed", "sweep_failed", "exchange_failed", "job_not_understood"):
            assert [line for line in self.said(failure) if "closed by server" not in line.get("error", "")] == []


@pytest.fixture(params=[(), ("--processes", "1")], ids=["alone", "swarm"])
def worker(
    request: pytest.FixtureRequest, tmp_path: Path, redis: redis_py.Redis, redis_url: str
) -> Iterator[Callable[[], Worker]]:
    made: list[Worker] = []

    def make() -> Worker:
        made.append(Worker(tmp_path, redis, redis_url, request.param))
        return made[-1]

    yield make
    for one in made:
        one.process.kill()
        one.process.wait()


def test_a_release_may_be_removed_under_a_running_worker(worker: Callable[[], Worker]) -> None:
    here = worker()
    shutil.rmtree(here.release.parent)
    here.does_everything()
    for pushing in ("Pushes", "AsyncPushes"):
        here.push(pushing)
        here.runs("plain")
    wait_until(lambda: b'class="Plain"' in here.get("/metrics"), 20, "the metrics")
    assert here.get("/live") == b"alive\n"
    here.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    here.push("Async")
    here.runs("async")  # over new connections
    here.stops()
    assert here.read_late() == set()


def test_a_worker_without_a_free_descriptor_goes_on(worker: Callable[[], Worker]) -> None:
    here = worker()
    here.push("Plain")
    here.runs("plain")
    here.push("Exhaust")
    here.runs("exhaust")
    here.does_everything()
    here.push("Relax")
    here.runs("relax")
    wait_until(lambda: b'class="Plain"' in here.get("/metrics"), 20, "the metrics")
    here.stops()


def test_a_swarm_replaces_its_processes_after_its_release_was_removed(
    tmp_path: Path, redis: redis_py.Redis, redis_url: str
) -> None:
    here = Worker(tmp_path, redis, redis_url, ("--processes", "1"))
    try:
        shutil.rmtree(here.release.parent)
        [keeper], [child] = here.said("keeper_started"), here.said("child_started")
        for pid in (keeper["pid"], child["pid"]):
            subprocess.run(["kill", "-9", str(pid)], check=True)
        wait_until(lambda: len(here.said("keeper_started")) == len(here.said("child_started")) == 2, 20, "others")
        here.does_everything()
        wait_until(lambda: b'class="Plain"' in here.get("/metrics"), 20, "the metrics")
        here.stops()
        assert here.read_late() == set()
    finally:
        here.process.kill()
        here.process.wait()

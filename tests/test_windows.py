"""On Windows programs push and test their handlers; workers say that they need POSIX.

There is none here: `tests/windows.py` takes away from an interpreter what Windows has not.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import redis as redis_py

import pykiq
from tests.cli.command import environment

pytestmark = pytest.mark.system

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in Path(pykiq.__file__).parent.rglob("*.py")
)
OF_WORKERS = {
    "pykiq.cli.process_one", "pykiq.worker.child", "pykiq.worker.ears",
    "pykiq.worker.keeper", "pykiq.worker.swarm", "pykiq.worker.tether",
}  # fmt: skip
"""Process 1 of a container, the parent of `--processes`, what belongs to them: loaded when a worker starts."""


def on_windows(code: str, *, url: str = "redis://127.0.0.1:1/0") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import tests.windows\n{code}"],
        cwd=ROOT,
        env={**environment(), "REDIS_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_stand_in_has_nothing_that_a_worker_rests_on() -> None:
    code = """
import os, signal, socket, sys
assert sys.platform == "win32"
assert not hasattr(os, "fork") and not hasattr(signal, "SIGTSTP") and not hasattr(socket, "AF_UNIX")
try: import fcntl
except ImportError: print("none")
"""
    assert on_windows(code).stdout == "none\n"


def test_every_module_can_be_loaded_but_those_of_workers_alone() -> None:
    code = f"""
import importlib
from django.conf import settings
settings.configure(INSTALLED_APPS=["pykiq.contrib.django"])
for name in {sorted(set(MODULES) - OF_WORKERS - {"pykiq.__main__"})}:
    try:
        importlib.import_module(name)
    except (ImportError, AttributeError) as error:
        print(name, repr(error))
"""
    ran = on_windows(code)
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr


def test_a_program_pushes_and_looks_at_queues(redis_url: str, redis: redis_py.Redis) -> None:
    code = """
import asyncio
import pykiq, pykiq.admin

with pykiq.Client() as client:
    client.push({"class": "A", "args": [1]})
    client.push_bulk({"class": "A", "args": [[2], [3]]})
pykiq.remote("A").perform_in(60, 4)

async def also():
    async with pykiq.AsyncClient() as client:
        await client.push({"class": "A", "args": [5]})

asyncio.run(also())
from pykiq.cli import main
assert main(["push", "A", "[6]"]) == 0
assert main(["queues"]) == 0
assert main(["scheduled"]) == 0
assert main(["doctor", "--json"]) in (0, 1)
assert main(["top", "--once"]) == 0
"""
    ran = on_windows(code, url=redis_url)
    assert ran.returncode == 0, ran.stderr
    assert redis.llen("queue:default") == 5
    assert redis.zcard("schedule") == 1


def test_tests_run_handlers_of_both_kinds_with_their_retries_and_timeouts() -> None:
    code = """
import asyncio, time
import pykiq
from pykiq.testing import fake, inline

ran = []

@pykiq.job(retry=2, timeout=30)
def plain(n):
    if pykiq.current_job().attempt < 2:
        raise ValueError(n)
    ran.append(("plain", n))

@pykiq.job
async def coroutine(n):
    await asyncio.sleep(0)
    ran.append(("async", n))

@pykiq.job(timeout=0.05, retry=0)
def slow():
    for _ in range(10000):
        time.sleep(0.001)

@pykiq.server_middleware.add
def around(job):
    yield

with fake() as jobs:
    plain.perform_async(1)
    coroutine.perform_in(60, 2)
    print(jobs.drain())
    slow.perform_async()
    print(jobs.drain(raise_errors=False), jobs.dead[0].payload["error_class"])
    coroutine.perform_async(3)
    asyncio.run(jobs.adrain())
with inline():
    coroutine.perform_async(4)
print(sorted(ran))
"""
    ran = on_windows(code)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [
        "{'retry': 2, 'done': 2}",
        "{'dead': 1} pykiq.errors.JobTimeout",
        "[('async', 2), ('async', 3), ('async', 4), ('plain', 1)]",
    ]


@pytest.mark.parametrize("arguments", [["run", "--require", "nothing"], ["run", "--processes", "2"], ["dev"]])
def test_a_worker_says_in_one_line_that_it_needs_posix(arguments: list[str]) -> None:
    ran = on_windows(f"import sys\nfrom pykiq.cli import main\nsys.exit(main({arguments!r}))")
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert line.startswith("pykiq: a worker needs a POSIX system, such as Linux or macOS, and this is win32; pushing")


def test_so_does_one_inside_another_program() -> None:
    code = """
import pykiq
pykiq.job("A")(lambda: None)
try:
    with pykiq.embed(): raise AssertionError("entered")
except pykiq.errors.ConfigError as error:
    print(error)
"""
    ran = on_windows(code)
    assert "a worker needs a POSIX system" in ran.stdout, ran.stderr


def test_top_needs_a_terminal_of_posix() -> None:
    code = """
from pykiq.cli.screen import screen
import pykiq
try:
    with screen(): raise AssertionError("entered")
except pykiq.errors.ConfigError as error:
    print(error)
"""
    assert "top draws on terminals of POSIX systems; expected --once" in on_windows(code).stdout

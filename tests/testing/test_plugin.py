"""The pytest plugin, as pytest finds it where the package is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

ROOT = Path(__file__).parent.parent.parent

USES_IT = """
import pykiq

def test_it(pykiq_jobs):
    pykiq.remote("HardJob").perform_async(1)
    pykiq_jobs.assert_enqueued("HardJob", args=[1])
"""
USES_IT_NOT = """
import sys

def test_it():
    assert [name for name in sys.modules if name.startswith("pykiq.") or name in ("pykiq", "redis", "structlog")] == []
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH with what an installation has: the metadata of this project's pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    points = "\n".join(f"{name} = {target}" for name, target in project["entry-points"]["pytest11"].items())
    folder = tmp_path / "installed" / "pykiq_worker-0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: pykiq-worker\nVersion: 0\n")
    (folder / "entry_points.txt").write_text(f"[pytest11]\n{points}\n")
    return folder.parent


def ran(test: str, installed: Path, *flags: str, conftest: str = "", ini: str = "") -> subprocess.CompletedProcess[str]:
    project = installed.parent / "project"
    project.mkdir(exist_ok=True)
    (project / "test_it.py").write_text(test)
    (project / "conftest.py").write_text(conftest)
    (project / "pytest.ini").write_text(f"[pytest]\n{ini}\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", *flags],
        cwd=project,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_project_that_uses_it_has_only_to_install_it(installed: Path) -> None:
    found = ran(USES_IT, installed)
    assert found.returncode == 0, found.stdout


def test_a_project_that_does_not_use_it_imports_nothing_of_it(installed: Path) -> None:
    found = ran(USES_IT_NOT, installed)
    assert found.returncode == 0, found.stdout


def test_it_can_be_turned_off(installed: Path) -> None:
    found = ran(USES_IT, installed, "-p", "no:pykiq_pytest")
    assert "fixture 'pykiq_jobs' not found" in found.stdout


def test_a_source_tree_may_name_it_although_it_is_installed(installed: Path) -> None:
    """As `tests/conftest.py` of this project does."""
    found = ran("pytest_plugins = ['pykiq_pytest']\n" + USES_IT, installed)
    assert found.returncode == 0, found.stdout


PUSHES = """
import asyncio
import pytest, redis
import pykiq, pykiq.testing

CONFIG = pykiq.Config.of(redis="redis://:s3cret@127.0.0.1:1/0", wire="8")  # nobody is there

def push():
    with pytest.raises(redis.ConnectionError):
        pykiq.Client(CONFIG).push({"class": "A", "args": []})
"""
TWICE = (
    PUSHES
    + """
def test_one():
    push()

def test_two():
    push()
"""
)
WARNED = "RealRedisWarning: a test pushes to a real Redis, redis://:***@127.0.0.1:1/0; keep pushes in memory"
FOR_ALL = """
import pytest

@pytest.fixture(autouse=True)
def jobs_stay_in_memory(pykiq_jobs):
    ...
"""


def test_a_push_to_a_real_redis_is_warned_of_once_where_it_was_made(installed: Path) -> None:
    found = ran(TWICE, installed)
    assert found.returncode == 0, found.stdout
    assert found.stdout.count(WARNED) == 1
    assert "test_it.py:10: RealRedisWarning" in found.stdout
    assert "s3cret" not in found.stdout


@pytest.mark.parametrize(
    "line",
    [
        'pykiq.Client(CONFIG).push_bulk({"class": "A", "args": [[1]]})',
        'pykiq.configure(CONFIG); pykiq.remote("A").perform_async()',
        'asyncio.run(pykiq.AsyncClient(CONFIG).push({"class": "A", "args": []}))',
        'asyncio.run(pykiq.AsyncClient(CONFIG).push_bulk({"class": "A", "args": [[1]]}))',
        'pykiq.Client(redis=redis.Redis(port=1)).push({"class": "A", "args": []})',
        'pykiq.Client(redis="redis://127.0.0.1:1").push({"class": "A", "args": []})',
    ],
)
def test_every_way_to_push_is_seen_and_as_an_error_it_is_refused_each_time(line: str, installed: Path) -> None:
    test = f"""
def test_it():
    import pykiq_pytest
    for _ in range(2):
        with pytest.raises(pykiq_pytest.RealRedisWarning):
            {line}
"""
    found = ran(PUSHES + test, installed, ini="filterwarnings = error::pykiq_pytest.RealRedisWarning")
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize(
    ("conftest", "ini", "before"),
    [
        ("", "pykiq_real_redis = true", ""),
        ("", "", "pytestmark = pytest.mark.pykiq_real_redis"),
        (FOR_ALL, "addopts = --strict-markers", "pytestmark = pytest.mark.pykiq_real_redis"),
        ("", "usefixtures = pykiq_jobs", "pytestmark = pytest.mark.pykiq_real_redis"),
    ],
)
def test_pushes_that_are_meant_are_not_warned_of(conftest: str, ini: str, before: str, installed: Path) -> None:
    found = ran(TWICE + before, installed, "-W", "error", conftest=conftest, ini=ini)
    assert found.returncode == 0, found.stdout
    assert "2 passed" in found.stdout


def test_in_a_block_of_disable_they_are_meant(installed: Path) -> None:
    test = """
def test_it(pykiq_jobs):
    with pykiq.testing.disable():
        push()

def test_without_the_fixture():
    with pykiq.testing.disable():
        push()
"""
    found = ran(PUSHES + test, installed, "-W", "error")
    assert found.returncode == 0, found.stdout


def test_a_stand_in_for_redis_is_no_real_one(installed: Path) -> None:
    test = """
import redis

class StandIn:
    class connection_pool:
        class connection_class:
            __module__ = "fakeredis._connection"

        def get_connection(*args):
            raise LookupError("used")

    def get_encoder(*args):
        return redis.Redis().get_encoder()

    def execute_command(*args):
        raise LookupError("used")

def test_it():
    with pytest.raises(LookupError):
        pykiq.Client(CONFIG, redis=StandIn()).push({"class": "A", "args": []})
"""
    found = ran(PUSHES + test, installed, "-W", "error")
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize(("conftest", "ini"), [(FOR_ALL, ""), ("", "usefixtures = pykiq_jobs")])
def test_with_the_fixture_for_all_tests_no_push_leaves_the_process(conftest: str, ini: str, installed: Path) -> None:
    test = """
def test_it():
    assert pykiq.Client(CONFIG).push({"class": "A", "args": []})
    pykiq.remote("B").perform_async()

def test_that_looks_at_them(pykiq_jobs):
    pykiq.remote("B").perform_async(1)
    pykiq_jobs.assert_enqueued("B", args=[1], count=1)
"""
    found = ran(PUSHES + test, installed, "-W", "error", conftest=conftest, ini=ini)
    assert found.returncode == 0, found.stdout


def test_outside_of_pytest_nobody_is_told(installed: Path) -> None:
    code = PUSHES + "\nimport pykiq_pytest\npush()\n"
    found = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert found.returncode == 0, found.stderr.decode()

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


def ran(test: str, installed: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    project = installed.parent / "project"
    project.mkdir()
    (project / "test_it.py").write_text(test)
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

"""Somebody else's package `pykiq` in the same folder: said at the import, and by the command."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pykiq


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with our package, as `pip` installs it, and a module of theirs in it."""
    shutil.copytree(Path(pykiq.__file__).parent, tmp_path / "pykiq", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "pykiq" / "connector.py").write_text("")
    return tmp_path


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=60)


def test_importing_pykiq_beside_the_other_package_says_so(installed: Path) -> None:
    ran = python(installed, "-c", "import pykiq; print(pykiq.__file__)")
    assert ran.stdout.startswith(str(installed))
    assert "RuntimeWarning: the package `pykiq`, somebody else's client, is installed in the same folder" in ran.stderr
    assert "-c:1" in ran.stderr or "<string>:1" in ran.stderr  # the line that imports it is to blame


def test_the_command_refuses_to_run_over_the_other_package(installed: Path) -> None:
    (installed / "pykiq" / "__init__.py").write_text("class Sidekiq: ...\n")
    ran = python(installed, "-m", "pykiq", "--version")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("pykiq: the package `pykiq`, somebody else's client, is installed")
    assert len(ran.stderr.splitlines()) == 1


def test_nothing_is_said_without_it(installed: Path) -> None:
    (installed / "pykiq" / "connector.py").unlink()
    assert python(installed, "-c", "import pykiq").stderr == ""

"""Runs mypy and pyright over the file in this folder that only they read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mypy import api

from tests.servers import missing

pytestmark = pytest.mark.system

PUBLIC = Path(__file__).with_name("public.py")


def test_mypy_agrees_with_public_py_line_by_line() -> None:
    out, err, status = api.run(
        ["--strict", "--warn-unused-ignores", "--no-incremental", "--follow-imports=silent", str(PUBLIC)]
    )
    assert status == 0, out + err


def test_pyright_agrees_with_it_too() -> None:
    """Every `type: ignore` in it is an error to pyright as well: the file has unnecessary ones reported."""
    if subprocess.run([sys.executable, "-c", "import pyright"], capture_output=True, check=False).returncode:
        missing("pyright is not installed (pip install 'pyright[nodejs]')")
    ran = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, str(PUBLIC)],
        cwd=PUBLIC.parent.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr

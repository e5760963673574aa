"""Runs mypy over the files in this folder that only it reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from mypy import api

pytestmark = pytest.mark.system


def test_mypy_agrees_with_public_py_line_by_line() -> None:
    file = Path(__file__).with_name("public.py")
    out, err, status = api.run(
        ["--strict", "--warn-unused-ignores", "--no-incremental", "--follow-imports=silent", str(file)]
    )
    assert status == 0, out + err

"""What is not on this machine is told once, however many tests lack it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.system
def test_skips_of_interop_are_one_line_a_reason(tmp_path: Path) -> None:
    environment = {"PATH": str(tmp_path), "PYKIQ_INTEROP_CACHE": str(tmp_path)}
    kept = {name: value for name, value in os.environ.items() if name not in {"CI", "PATH"}}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/interop", "-k", "stubs or recorder"],
        cwd=ROOT,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    lines = [line for line in ran.stdout.splitlines() if line.startswith("SKIPPED")]
    assert sorted(line.partition("tests:0: ")[2] for line in lines) == [
        *(
            f"no Ruby with Sidekiq {major}.x is here; tests/interop/install.sh fetches it on Debian"
            for major in (6, 7, 8)
        ),
        "redis-server is not here; tests/interop/install.sh fetches it on Debian",
    ], ran.stdout

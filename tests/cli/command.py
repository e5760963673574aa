"""Runs the real `pykiq` command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pykiq

ROOT = Path(pykiq.__file__).parent.parent


def environment(**variables: str) -> dict[str, str]:
    """The test's environment without anything that would configure the command, and with `variables`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYKIQ_", "REDIS_", "RAILS_", "RACK_", "APP_"))
    }
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | variables


def pykiq_command(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `pykiq ARGUMENTS` in `cwd` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "pykiq", *arguments],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def start(
    *arguments: str, cwd: Path, log: Path, stdin: int | None = None, stdout: IO[bytes] | None = None, **variables: str
) -> subprocess.Popen[bytes]:
    """Start `pykiq ARGUMENTS` in `cwd`, both of its outputs going to `log`, or the standard one to `stdout`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "pykiq", *arguments],
            cwd=cwd,
            env=environment(**variables),
            stdin=stdin,
            stdout=stdout or output,
            stderr=output,
        )

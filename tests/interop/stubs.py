"""What `pykiq stubs ruby` writes for mixed_handlers.py, where a Ruby sees it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.interop.conftest import HERE, Fleet
from tests.interop.ruby import Program

HANDLERS = HERE / "mixed_handlers.py"


def write_stubs(fleet: Fleet) -> str:
    """Write the stubs into the home of this Ruby; the path under which it can require them."""
    out = fleet.home.outside / "python_jobs.rb"
    command = [sys.executable, "-m", "pykiq", "stubs", "ruby", "--require", str(HANDLERS), "--out", str(out)]
    subprocess.run(command, check=True, timeout=60, cwd=Path(__file__).parents[2])
    return f"{fleet.home.path}/python_jobs.rb"


def python_beside(fleet: Fleet, *flags: str) -> Program:
    """A `pykiq run` with mixed_handlers.py."""
    return fleet.python(*flags, require=HANDLERS)

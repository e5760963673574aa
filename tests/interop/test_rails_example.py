"""examples/rails_and_python does what its README says, word for word, with each Ruby."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import redis as redis_py

from tests.interop.ruby import Ruby
from tests.servers import Server

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
EXAMPLE = Path("examples/rails_and_python")
DATABASE = 4  # 1 to 3 belong to fleets that outlive a test


def commands_of_the_readme() -> str:
    found = re.search(
        r"^```sh\n(.*?)^```$", (ROOT / EXAMPLE / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert found
    return found[1]


def program(folder: Path, name: str, line: str) -> None:
    path = folder / name
    path.write_text(f'#!/bin/sh\nexec {line} "$@"\n')
    path.chmod(0o755)


@pytest.fixture
def path(ruby: Ruby, tmp_path: Path) -> str:
    """A PATH on which `pykiq`, `ruby` and `sidekiq` are the ones of this test."""
    programs = tmp_path / "bin"
    programs.mkdir()
    program(programs, "pykiq", f"env PYTHONPATH={ROOT} {sys.executable} -m pykiq")
    if ruby.root is not None:
        for name in ("ruby", "sidekiq"):
            program(programs, name, f'chroot {ruby.root} env -C "${{PWD#{ruby.root}}}" {name}')
    return f"{programs}:{os.environ['PATH']}"


def test_the_commands_of_the_readme_print_what_it_says(
    ruby: Ruby, path: str, real_redis: Server, tmp_path: Path
) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / EXAMPLE, checkout / EXAMPLE)
    home = ruby.place(checkout)
    url = f"redis://127.0.0.1:{real_redis.port}/{DATABASE}"
    with redis_py.Redis.from_url(url) as client:
        client.flushdb()
    try:
        ran = subprocess.run(
            ["bash", "-c", commands_of_the_readme()],
            cwd=home.outside,
            env={
                **os.environ,
                "PATH": path,
                "REDIS_URL": f"redis://127.0.0.1:{real_redis.port}/{DATABASE}",
                "LANG": "C.UTF-8",
                "LC_ALL": "C.UTF-8",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=90,
            check=False,
        )
    finally:
        home.remove()
    assert re.search(r"^pushed [0-9a-f]{24}$", ran.stdout, re.MULTILINE), ran.stdout
    assert re.search(r"^user 42: report Q3-\d+ has 3 pages$", ran.stdout, re.MULTILINE), ran.stdout
    with redis_py.Redis.from_url(url) as client:
        assert client.exists("retry", "dead", "queue:shared", "queue:python", "queue:ruby") == 0


def test_the_stubs_beside_it_are_those_that_are_written_today(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pykiq", "stubs", "ruby", "--require", "handlers.py"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    written = subprocess.run(command, cwd=ROOT / EXAMPLE, env=env, capture_output=True, text=True, check=True)
    assert written.stdout == (ROOT / EXAMPLE / "python_jobs.rb").read_text("utf-8")

"""`pykiq mark`: where a deployment was, in the charts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import redis as redis_py

from tests.cli.inside import Command


def labels(redis: redis_py.Redis) -> list[bytes]:
    return [label for key in redis.keys("*-marks") for label in redis.hvals(key)]


def test_a_label_marks_this_minute(redis: redis_py.Redis, command: Command) -> None:
    ran = command("mark", "v1.2")
    assert ran.code == 0
    assert ran.out.endswith("00Z v1.2\n")
    assert labels(redis) == [b"v1.2"]
    assert command("mark", "v1.2").out.endswith("is marked already; nothing was written\n")


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not here")
def test_without_a_label_it_is_the_last_commit(
    redis: redis_py.Redis, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    for arguments in (("init", "-q"), ("commit", "-q", "--allow-empty", "-m", "ship it")):
        subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e", *arguments], check=True)
    assert command("mark").out.endswith(" ship it\n")
    [label] = labels(redis)
    assert label.endswith(b" ship it")


def test_without_either_it_says_what_it_wants(
    redis: redis_py.Redis, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = command("mark")
    assert (ran.code, ran.err) == (
        2,
        "pykiq: no LABEL was given and git knows no commit here; expected `pykiq mark LABEL`\n",
    )
    assert command("mark", "  ").code == 2
    assert (
        command("mark", "\udcff").err == "pykiq: LABEL is not UTF-8; expected a few words, such as a release's name\n"
    )
    assert redis.keys() == []

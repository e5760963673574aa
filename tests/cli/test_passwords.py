"""No command shows the password of its Redis URL, readable or not, reachable or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykiq.cli.main import main
from tests.config.test_redis_url import MISTYPED
from tests.servers import free_port

COMMANDS = (["doctor"], ["stats"], ["push", "HardJob"], ["dead"], ["top", "--once"], ["run", "--require", "nothing"])


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("form", MISTYPED)
def test_no_command_shows_the_password_of_a_mistyped_url(
    form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = form.format("us3cretx").replace("host", "127.0.0.1:1")
    assert main(["doctor", "--redis", url]) != 0
    monkeypatch.setenv("REDIS_URL", url)
    assert main(["doctor"]) != 0
    said = capsys.readouterr()
    assert "s3cret" not in said.out + said.err


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("query", ["client_name=x", "auth=s3cret"])
def test_nor_of_one_that_nobody_answers_at(
    command: list[str], query: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://me:s3@cret@127.0.0.1:{free_port()}/0?{query}")
    assert main(command) != 0
    said = capsys.readouterr()
    assert "cret" not in said.out + said.err
    assert "127.0.0.1" in said.err or "nothing" in said.err

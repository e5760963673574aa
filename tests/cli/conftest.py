"""The command on an empty database."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.inside import Command


@pytest.fixture
def command(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(redis_url, capsys)


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """As if somebody sat at the terminal: the questions asked; what is in the list at first is the answer."""
    asked: list[str] = []

    def confirm(text: str, **_: object) -> bool:
        asked.append(text)
        return asked[0] == "yes"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.confirm", confirm)
    return asked

"""Runs the command in this process: as its own program would, a hundred times as fast."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from pykiq.cli import main


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """Standard output as lines of JSON."""
        return [json.loads(line) for line in self.out.split("\n") if line]


class Command:
    """`command("retries", "--json")` with the test's Redis."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.url = url
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Ran:
        code = main([*arguments, "--redis", self.url])
        printed = self._capsys.readouterr()
        return Ran(code, printed.out, printed.err)

"""What is said first."""

from __future__ import annotations

from typing import Any

import pytest

from pykiq.cli.startup import announce, banner
from pykiq.config import Config
from pykiq.store.server import Server
from pykiq.version import __version__
from tests.logs import capture_logs


def announced(config: Config, notes: tuple[str, ...] = (), **handlers: str) -> list[Any]:
    server = Server("redis", "7.0", (7, 0), "noeviction", is_cluster=False)
    with capture_logs() as lines:
        announce(config, server, handlers, file="config/x.yml", notes=notes)
    return list(lines)


def test_the_first_line_says_versions_and_where_redis_is() -> None:
    first = announced(Config.of(redis="redis://:s3cret@cache/1", concurrency=3))[0]
    assert (first["server"], first["redis"], first["concurrency"]) == ("redis 7.0", "redis://:***@cache/1", 3)
    assert first["config"] == "config/x.yml"


def test_each_capsule_is_named_with_its_queues_and_weights() -> None:
    config = Config.of(queues=["a,3", "b", "a,3"], capsules={"slow": {"concurrency": 1, "queues": ["pdf"]}})
    serving = [line for line in announced(config) if line["event"] == "serving"]
    assert [(line["capsule"], line["mode"], line["queues"]) for line in serving] == [
        ("default", "weighted", ["a,3", "b"]),
        ("slow", "strict", ["pdf"]),
    ]


def test_remarks_on_the_file_are_warnings() -> None:
    assert [line["note"] for line in announced(Config(), notes=("x:1: …",)) if "note" in line] == ["x:1: …"]


def test_handlers_are_named_with_their_queues() -> None:
    *_, handling = announced(Config.of(queues=["a"]), B="b", A="a", C="b")
    assert handling["handlers"] == {"A": "a", "B": "b", "C": "b"}


def test_on_a_terminal_a_banner_takes_the_place_of_the_first_lines_but_not_of_warnings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    config = Config.of(queues=["a,3", "b"], redis="redis://:s3cret@cache/1")
    lines = announced(config, notes=("x:1: …",), A="a")
    assert [line["event"] for line in lines] == ["configuration"]
    first, capsule, handlers, ending = capsys.readouterr().err.splitlines()
    assert first.startswith(f"pykiq {__version__} · Python 3.")
    assert first.endswith(" · redis 7.0 at redis://:***@cache/1 · development · config/x.yml")
    assert capsule == "  default: 10 at a time from a,3 b (weighted)"
    assert handlers == "  handlers: A"
    assert ending == "  Ctrl-C stops it: running jobs have 25 s; again, and they go back to their queues at once"
    assert len(announced(Config.of(log_format="json"), A="default")) == 3


def test_a_banner_stays_compact_with_many_handlers() -> None:
    server = Server("valkey", "9.0", (7, 2), None, is_cluster=False)
    lines = banner(Config(), server, {f"Job{n:02}": "default" for n in range(100)}, None)
    assert len(lines) == 4
    assert lines[2].endswith("Job07 and 92 more")

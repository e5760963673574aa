"""The arrows between rooms point one way: a room imports only those that come before it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import pykiq

ROOMS = (
    "errors", "records", "version", "names", "namesake", "logger", "config", "wire", "middleware", "store", "client",
    "jobs", "activejob", "contrib", "observe", "admin", "worker", "embedding", "cli", "testing",
)  # fmt: skip
"""In order. `__main__` stands outside of it: it only calls the command line."""

OUTSIDE = {"__init__", "__main__"}

FOR_TYPES_ONLY = {("records", "jobs.handler")}
"""Under TYPE_CHECKING a record may name what it carries; at run time the arrow does not exist."""

PACKAGE = Path(pykiq.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[str, bool]]:
    """Modules below `pykiq` that a file imports, anywhere in it, and whether only for type checkers."""
    tree = ast.parse(path.read_text("utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for part in node.body
        for inner in ast.walk(part)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; write it out from pykiq on"
            names = [node.module] if node.module != "pykiq" else [f"pykiq.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name is not None and name.split(".")[0] == "pykiq":
                yield name.removeprefix("pykiq").removeprefix("."), id(node) in for_types


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_rooms_before_it(path: Path) -> None:
    room = room_of(path)
    if room in OUTSIDE:
        return
    assert room in ROOMS, f"{room} is no room yet: give it a place in the order"
    for module, only_types in imported(path):
        if only_types and (room, module) in FOR_TYPES_ONLY:
            continue
        target = module.split(".")[0]
        assert target in ROOMS, f"{path} imports pykiq itself or something unknown ({module or 'pykiq'})"
        assert ROOMS.index(target) <= ROOMS.index(room), f"{path} imports {module}: {target} comes after {room}"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from pykiq.worker.process import run", [("worker.process", False)]),
        ("import pykiq.cli", [("cli", False)]),
        ("from pykiq import worker", [("worker", False)]),
        ("def later():\n    from pykiq.cli import main", [("cli", False)]),
        ("if TYPE_CHECKING:\n    from pykiq.jobs.handler import Handler", [("jobs.handler", True)]),
        ("import pykiq", [("", False)]),
        ("import redis\nfrom pykiqlike import x", []),
    ],
)
def test_every_form_of_import_is_seen(code: str, found: list[tuple[str, bool]], tmp_path: Path) -> None:
    file = tmp_path / "file.py"
    file.write_text(code)
    assert list(imported(file)) == found

"""docs/names.md against the code: what the public names have, and the settings. tests/test_docs.py has the names."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import fields

import pytest

import pykiq
from pykiq import testing
from pykiq.config import Capsule
from pykiq.embedding import Embedded
from pykiq.jobs.declare import JobFunction
from pykiq.jobs.enqueue import Verbs
from pykiq.middleware.chain import Chain
from tests.test_docs import code, table

PAGE = "docs/names.md"
VERBS = {name for name in dir(Verbs) if not name.startswith("_")}


def told(thing: str) -> set[str]:
    """What the page says that `thing` has."""
    [row] = [row for row in table(PAGE, "## What they have") if row[0].replace("`", "") == thing]
    return set(code(row[1])) - {"a", "with", "async with"}


def public(kind: type) -> set[str]:
    own = {name for name in dir(kind) if not name.startswith("_")}
    return own | {name for name in inspect.get_annotations(kind) if not name.startswith("_")}


@pytest.mark.parametrize("row", table(PAGE, "## pykiq.contrib"), ids=lambda row: row[0])
def test_the_names_of_contrib_are_all_there(row: list[str]) -> None:
    module = importlib.import_module(code(row[0])[0])
    functions = {
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value) and name in ("install", "uninstall") and value.__module__ == module.__name__
    }
    assert set(code(row[1])) - {"INSTALLED_APPS"} == functions


@pytest.mark.parametrize(
    ("thing", "kind", "besides"),
    [
        ("a handler, a Job class, what remote returns", Verbs, set()),
        ("a decorated function", JobFunction, VERBS),
        ("an instance of Job", pykiq.Job, VERBS),
        ("JobContext", pykiq.JobContext, set()),
        ("Client", pykiq.Client, {"config", "middleware"}),
        ("AsyncClient", pykiq.AsyncClient, {"config", "middleware"}),
        ("a chain of middleware", Chain, set()),
        ("what embed returns", Embedded, {"config"}),
        ("testing.Jobs", testing.Jobs, set()),
        ("testing.StoredJob", testing.StoredJob, {"count", "index"}),  # those of every tuple
    ],
)
def test_what_an_object_has_is_all_there(thing: str, kind: type, besides: set[str]) -> None:
    assert told(thing) - besides == public(kind) - besides


def test_attributes_of_instances_are_there_too() -> None:
    with pykiq.Client() as client:
        assert {name for name in vars(client) if not name.startswith("_")} <= told("Client")
    assert {name for name in vars(Embedded(pykiq.Config())) if not name.startswith("_")} <= told("what embed returns")


def test_every_setting_is_there_with_its_default() -> None:
    config = pykiq.Config()
    shown: dict[str, str] = {}
    for names, default, _ in table(PAGE, "## Settings"):
        defaults = [part.strip().strip("`") for part in default.split(",")]
        each = defaults if len(defaults) > 1 else defaults * len(code(names))
        shown |= dict(zip(code(names), each, strict=True))
    known = {known.name for known in fields(pykiq.Config)}
    assert set(shown) == known | {known.name for known in fields(Capsule)} - {"name", "mode"}
    for name, default in shown.items():
        value = getattr(config, name)
        if name == "queues":
            assert default == value[0]
        elif default:
            assert default == (
                "none" if value is None else f"{value:.0f}" if isinstance(value, float) else str(value)
            ), name
        else:
            assert not value or name == "capsules", name

"""The constraints for `make test-oldest` are pyproject.toml's own lower bounds."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from typing import Any

import pytest

from tests.oldest import PYPROJECT, constraints


def test_each_lower_bound_of_the_package_and_its_extras_is_a_pin() -> None:
    project = {
        "dependencies": ["redis[hiredis]>=5.3", "PyYAML>=6.0"],
        "optional-dependencies": {"otel": ["opentelemetry-api>=1.25"], "reload": ["watchfiles>=0.21"]},
    }
    assert constraints(project) == ["redis==5.3", "PyYAML==6.0", "opentelemetry-api==1.25", "watchfiles==0.21"]


def test_what_only_development_needs_is_not_held_back() -> None:
    extras = {
        "dev": ["pykiq-worker[otel]", "pytest>=8.2"],
        "bench": ["matplotlib>=3.8"],
        "otel": ["opentelemetry-api>=1"],
    }
    assert constraints({"optional-dependencies": extras}) == ["opentelemetry-api==1"]


@pytest.mark.parametrize(
    "requirement",
    ["redis", "redis<6", "redis>5.3", "redis~=5.3", "redis>=5.3,<9", "redis>=5.3; python_version < '3.12'", "redis>="],
)
def test_a_requirement_without_a_single_oldest_version_is_refused(requirement: str) -> None:
    with pytest.raises(ValueError, match=r"has no lower bound alone; write it as name>=1\.2"):
        constraints({"dependencies": [requirement]})


def test_every_requirement_of_pykiq_has_an_oldest_version() -> None:
    project: dict[str, Any] = tomllib.loads(PYPROJECT.read_text())["project"]
    extras = [listed for extra, listed in project["optional-dependencies"].items() if extra not in ("dev", "bench")]
    assert len(constraints(project)) == len(project["dependencies"]) + sum(map(len, extras))


def test_it_prints_one_a_line_for_pip() -> None:
    printed = subprocess.check_output([sys.executable, "-m", "tests.oldest"], cwd=PYPROJECT.parent, text=True)
    assert printed.splitlines() == constraints(tomllib.loads(PYPROJECT.read_text())["project"])

"""The oldest dependencies that are allowed, as constraints for pip: each lower bound of pyproject.toml as a pin.

    python -m tests.oldest > constraints.txt && pip install -c constraints.txt -e '.[dev]'

The bounds are read from where they are declared, so that they are written once. What only development needs (`dev`,
`bench`) is not held back.
"""

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"
DEVELOPMENT = {"dev", "bench"}
REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[^]]*\])?>=(?P<bound>[0-9.]+)")


def constraints(project: dict[str, Any]) -> list[str]:
    """`name==lower bound` for every runtime dependency and extra of a `[project]` table.

    Raises ValueError for a requirement of another form than `name[extra]>=1.2`: it has no single oldest version.
    """
    extras = project.get("optional-dependencies", {})
    runtime = [r for extra, listed in extras.items() if extra not in DEVELOPMENT for r in listed]
    return [pin(requirement) for requirement in [*project.get("dependencies", []), *runtime]]


def pin(requirement: str) -> str:
    found = REQUIREMENT.fullmatch(requirement)
    if not found:
        raise ValueError(f"{requirement!r} in pyproject.toml has no lower bound alone; write it as name>=1.2")
    return f"{found['name']}=={found['bound']}"


if __name__ == "__main__":
    sys.stdout.write("\n".join(constraints(tomllib.loads(PYPROJECT.read_text())["project"])) + "\n")

"""The pytest plugin of pykiq: the fixture `pykiq_jobs`.

Beside the package and not in it: pytest imports the plugins of all that is installed, and a project whose tests do not
use this one should not import pykiq for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pykiq.testing import Jobs


@pytest.fixture
def pykiq_jobs() -> Iterator[Jobs]:
    """Pushes stay in memory for this test: see them, assert about them, `drain()` them. `pykiq.testing.Jobs`."""
    from pykiq.testing import fake

    with fake() as jobs:
        yield jobs

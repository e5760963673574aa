"""What every test of this room begins with."""

from __future__ import annotations

import pytest

from tests.worker.stage import note_threads


@pytest.fixture(autouse=True)
def _only_own_threads_count() -> None:
    note_threads()

"""What became of a process that was forked, in words; forking itself is for tests/chaos, where nothing else runs."""

from __future__ import annotations

import pytest

from pykiq.worker.fork import how


@pytest.mark.parametrize(
    ("code", "said"), [(0, "exit code 0"), (3, "exit code 3"), (-9, "signal SIGKILL"), (-99, "signal 99")]
)
def test_an_end_is_told_in_words(code: int, said: str) -> None:
    assert how(code) == said

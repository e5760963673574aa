"""Whose line a warning is about: the nearest one outside of this package."""

from __future__ import annotations

import sys

from pykiq.version import FOLDER


def users_level() -> int:
    """The `stacklevel` for a `warnings.warn` in the function that calls this one."""
    level = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(FOLDER):
        level, frame = level + 1, frame.f_back
    return level

"""The version of pykiq, in one place; and where it is installed."""

from __future__ import annotations

import os

__version__ = "0.1.0"

FOLDER = f"{os.path.dirname(__file__)}{os.sep}"
"""Where this package is: tells its frames in a traceback from the user's."""

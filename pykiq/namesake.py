"""The other package that is imported as `pykiq`: a client for Sidekiq, without a release since 2021.

The name `pykiq` on the package index is theirs, ours is `pykiq-worker`. Installed into one environment both write into
one folder, and the later one replaces the other's `__init__.py`.
"""

from __future__ import annotations

import os
import sys
import warnings

from pykiq.version import FOLDER

# A module of theirs that we have none of. To look for one file takes 2 µs, to ask for the installed packages 20 ms.
THEIRS = f"{FOLDER}connector.py"

ADVICE = (
    "the package `pykiq`, somebody else's client, is installed in the same folder as `pykiq-worker`; "
    "run `pip uninstall -y pykiq pykiq-worker`, then install pykiq-worker again"
)


def is_installed() -> bool:
    """Whether the other package is, or was, installed over this one."""
    return os.path.exists(THEIRS)


def has_replaced_us() -> bool:
    """Whether `import pykiq` gives theirs: it was installed after ours."""
    return is_installed() and "embed" not in getattr(sys.modules["pykiq"], "__all__", ())


def warn() -> None:
    """Warn once, when it is installed."""
    if is_installed():
        warnings.warn(ADVICE, RuntimeWarning, stacklevel=3)

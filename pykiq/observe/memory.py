"""How much memory this process has in use."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def rss_kb(statm: Path = Path("/proc/self/statm")) -> int:
    """Resident memory in KB; where there is no `/proc`, the largest it has been."""
    try:
        return int(statm.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    except (OSError, ValueError, IndexError):
        import resource  # Windows has none, and what runs there does not come here

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak // 1024 if sys.platform == "darwin" else peak

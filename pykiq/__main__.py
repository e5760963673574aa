"""`python -m pykiq`."""

from __future__ import annotations

import sys

from pykiq.cli import main

sys.exit(main())

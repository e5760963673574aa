"""`python -m compat_fixtures.recorder`: see record.py."""

import sys

from compat_fixtures.recorder.record import main

sys.exit(main())

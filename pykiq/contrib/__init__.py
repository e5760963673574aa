"""Other people's libraries: each file needs an extra of its own and does nothing until its `install()` is called."""

from __future__ import annotations

import asyncio

from pykiq.errors import Discard, Interrupted, Snooze

NO_FAILURE = (Snooze, Discard, Interrupted, asyncio.CancelledError, GeneratorExit)
"""What may leave a job that has not failed. A job past its time-out is cancelled first and fails after that."""

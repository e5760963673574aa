"""The traceback of a failed job as the log has it: Python's own form, from the first line on that is not pykiq's."""

from __future__ import annotations

import traceback

from pykiq.version import FOLDER

FRAMES = 30  # the innermost ones, of the error and of each that led to it
LENGTH = 10_000  # characters; of a longer text the end, which has the error itself


def trace(error: BaseException) -> str:
    """The traceback as text, with the errors it was raised from; never raises, whatever the error does when asked.

    Source lines, never the values of variables: a log is no place for those.
    """
    try:
        described = traceback.TracebackException(type(error), error, error.__traceback__, limit=-FRAMES, compact=True)
        if not _cut(described):
            return ""
        text = "".join(described.format()).rstrip()
    except BaseException:  # one that exits or interrupts from __str__ must not take the worker with it
        return ""
    return text if len(text) <= LENGTH else f"…{text[-LENGTH:]}"


def _cut(described: traceback.TracebackException) -> bool:
    """Take the frames that lead to the handler out; False when nothing else is left."""
    own = list(described.stack)
    while own and own[0].filename.startswith(FOLDER):
        del own[0]
    described.stack = traceback.StackSummary.from_list(own)
    return bool(own) or described.__cause__ is not None

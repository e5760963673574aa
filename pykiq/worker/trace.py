"""The traceback of a failed job as the log has it: Python's own form, from the first line on that is not pykiq's.

Without the marks beneath the lines: to find out what to mark, Python compiles each line again, which is more work than
all else that a failed job takes. And what a frame looks like is made once: jobs that fail do so in the same places.
"""

from __future__ import annotations

import linecache
import traceback
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import groupby
from types import FrameType, TracebackType
from typing import Any

from pykiq.version import FOLDER

FRAMES = 30  # the innermost ones, of the error and of each that led to it
LENGTH = 10_000  # characters; of a longer text the end, which has the error itself
ALIKE = 3  # frames in a row that are shown of a recursion
MOST_KEPT = 2000  # frames whose text is kept, half a megabyte

_texts: dict[tuple[str, int, str], str] = {}  # by file, line and function


def trace(error: BaseException) -> str:
    """The traceback as text, with the errors it was raised from; never raises, whatever the error does when asked.

    Source lines, never the values of variables: a log is no place for those.
    """
    try:
        described = traceback.TracebackException(type(error), error, error.__traceback__, limit=0, compact=True)
        if not _fill(described, error):
            return ""
        text = "".join(described.format()).rstrip()
    except BaseException:  # one that exits or interrupts from __str__ must not take the worker with it
        return ""
    return text if len(text) <= LENGTH else f"…{text[-LENGTH:]}"


class _Frames(traceback.StackSummary):
    """Stands in the place of Python's own, which looks at each frame for longer."""

    def __init__(self, texts: Iterable[str]) -> None:
        super().__init__(texts)  # type: ignore[arg-type]

    def format(self, **_: Any) -> list[str]:
        """The text of each frame; of a recursion, how often it went on."""
        shown: list[str] = []
        for text, alike in groupby(map(str, self)):
            times = len(list(alike))
            shown += [text] * min(times, ALIKE)
            if times > ALIKE:
                more = times - ALIKE
                shown.append(f"  [Previous line repeated {more} more time{'s' if more > 1 else ''}]\n")
        return shown


def _fill(described: traceback.TracebackException, error: BaseException) -> bool:
    """Give each of the errors its frames, the first without those that lead to the handler; False if that is all."""
    own = list(_innermost(error.__traceback__))
    while own and own[0][0].f_code.co_filename.startswith(FOLDER):
        del own[0]
    described.stack = _Frames(_text(*one) for one in own)
    left: list[tuple[traceback.TracebackException | None, BaseException | None]] = _led_to(described, error)
    while left:
        one, its_error = left.pop()
        if one is not None and its_error is not None:
            one.stack = _Frames(_text(*frame) for frame in _innermost(its_error.__traceback__))
            left += _led_to(one, its_error)
    return bool(own) or described.__cause__ is not None


def _led_to(
    described: traceback.TracebackException, error: BaseException
) -> list[tuple[traceback.TracebackException | None, BaseException | None]]:
    """Those it was raised from or during, and those in a group."""
    found = [(described.__cause__, error.__cause__), (described.__context__, error.__context__)]
    if described.exceptions and isinstance(error, BaseExceptionGroup):
        found += zip(described.exceptions, error.exceptions, strict=False)
    return found


def _innermost(last: TracebackType | None) -> Iterator[tuple[FrameType, int | None]]:
    """The last `FRAMES` frames of a traceback, each with its line."""
    kept: deque[TracebackType] = deque(maxlen=FRAMES)
    while last is not None:
        kept.append(last)
        last = last.tb_next
    return ((one.tb_frame, one.tb_lineno) for one in kept)


def _text(frame: FrameType, line: int | None) -> str:
    """A frame as Python writes it, with the line of its source where that can be had."""
    code = frame.f_code
    key = (code.co_filename, line or 0, code.co_name)
    known = _texts.get(key)
    if known is not None:
        return known
    text = f'  File "{code.co_filename}", line {line}, in {code.co_name}\n'
    source = linecache.getline(code.co_filename, line or 0, frame.f_globals).strip()
    if source:
        text += f"    {source}\n"
        if len(_texts) >= MOST_KEPT:
            _texts.clear()  # places in code that is made at run time are without number
        _texts[key] = text
    return text

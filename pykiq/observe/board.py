"""The board: shared memory in which a swarm's processes say how they are, a row per child and one writer per field.

Made before the first fork and never on disk. The parent writes who a child is and what is to be done about it, the
child how it fares; the keeper reads all of it. Nobody waits for anybody: a row tells the same whether its child is
busy, hung or dead.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from typing import NamedTuple

FREE, ALIVE, DEAD = 0, 1, 2  # DEAD: ended without a clean stop; its jobs are to be taken over
_QUIET, _ANSWERING, _STOPPED = 1, 2, 4

_TOTALS = struct.Struct("=QQ")
_POST = struct.Struct("=QQd16s")
_STATE = struct.Struct("=Q")
_REPORT = struct.Struct("=dQQQQ")
_STATE_AT = 0
_POST_AT = _STATE_AT + _STATE.size
_REPORT_AT = _POST_AT + _POST.size
_ROW = _REPORT_AT + _REPORT.size


class Post(NamedTuple):
    """What the parent writes: who has the row. `started` is monotonic seconds, `nonce` the identity's last part."""

    pid: int
    place: int
    started: float
    nonce: str


class Report(NamedTuple):
    """What the child writes. `turned` is when its exchange last ended a turn, in monotonic seconds."""

    turned: float
    rss_kb: int = 0
    busy: int = 0
    in_flight: int = 0
    quiet: bool = False
    answering: bool = False  # it has started, and Redis answered the last turn
    stopped: bool = False  # it has stopped cleanly, and is about to end


class Row(NamedTuple):
    """One child as its row tells."""

    number: int
    state: int
    post: Post
    report: Report


class Board:
    """The memory, shared by all processes forked after it was made. Times are of the machine's monotonic clock."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._memory = mmap.mmap(-1, _TOTALS.size + rows * _ROW)

    def _at(self, number: int) -> int:
        return _TOTALS.size + number * _ROW

    # For the parent.

    def take(self) -> int | None:
        """The number of a free row, None when there is none."""
        return next((number for number in range(self.rows) if self._state(number) == FREE), None)

    def post(self, number: int, post: Post) -> None:
        """Give the row to a child that has just been started. It counts as turning from then on."""
        at = self._at(number)
        self.report(number, Report(post.started))
        _POST.pack_into(self._memory, at + _POST_AT, post.pid, post.place, post.started, post.nonce.encode())
        self.mark(number, ALIVE)

    def mark(self, number: int, state: int) -> None:
        _STATE.pack_into(self._memory, self._at(number) + _STATE_AT, state)

    def count(self, *, crashed: int, recycled: int) -> None:
        """Publish how many children have crashed and how many were recycled since the parent began."""
        _TOTALS.pack_into(self._memory, 0, crashed, recycled)

    # For a child.

    def report(self, number: int, report: Report) -> None:
        flags = report.quiet * _QUIET | report.answering * _ANSWERING | report.stopped * _STOPPED
        # The flags come last: who sees `quiet` sees no count of jobs from before it.
        values = (report.turned, report.rss_kb, report.busy, report.in_flight, flags)
        _REPORT.pack_into(self._memory, self._at(number) + _REPORT_AT, *values)

    # For everybody.

    def row(self, number: int) -> Row:
        at = self._at(number)
        pid, place, started, nonce = _POST.unpack_from(self._memory, at + _POST_AT)
        turned, rss_kb, busy, in_flight, flags = _REPORT.unpack_from(self._memory, at + _REPORT_AT)
        report = Report(
            *(turned, rss_kb, busy, in_flight), bool(flags & _QUIET), bool(flags & _ANSWERING), bool(flags & _STOPPED)
        )
        post = Post(pid, place, started, nonce.rstrip(b"\0").decode())
        return Row(number, self._state(number), post, report)

    def in_state(self, state: int) -> Iterator[Row]:
        """The rows in that state."""
        for number in range(self.rows):
            if self._state(number) == state:
                yield self.row(number)

    def totals(self) -> tuple[int, int]:
        """Children crashed, children recycled."""
        crashed, recycled = _TOTALS.unpack_from(self._memory, 0)
        return int(crashed), int(recycled)

    def _state(self, number: int) -> int:
        return int(_STATE.unpack_from(self._memory, self._at(number) + _STATE_AT)[0])

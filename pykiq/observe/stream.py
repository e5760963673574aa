"""A stream that takes lines and never makes anybody wait, whether or not somebody reads it.

A log shipper that is stuck leaves its pipe full, and an ordinary write then never returns: the worker would hang with
whichever thread has logged, its stop among them. Here what finds no room waits in memory, within bounds, and is written
with the next line or the next `flush`. Beyond the bounds lines are dropped, and counted: the count is written as soon
as there is room again.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import NamedTuple, TextIO
from weakref import WeakSet

MOST_BYTES = 8 << 20  # that wait: what a busy worker logs in a second, for a reader that is slow but reads
MOST_LINES = 50_000  # that wait

Send = Callable[[memoryview], int]  # returns how many bytes found room; raises OSError


class _Piece(NamedTuple):
    """What waits: so many lines, with which so many are lost if it is."""

    data: memoryview
    lines: int
    lost: int


class Stream:
    """Lines for one text stream. `dropped` makes the line that tells how many have been lost."""

    def __init__(self, stream: TextIO, dropped: Callable[[int], str]) -> None:
        self.shared = False  # other processes write there too: whole lines only
        self._stream = stream
        self._dropped = dropped
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        with suppress(Exception):
            stream.flush()
        self._descriptor = Descriptor(stream)
        # Reentrant, and with a flag: a signal handler may log while its own thread is in the middle of a line.
        self._lock = threading.RLock()
        self._is_writing = False
        self._forget()
        _streams.add(self)

    def _forget(self) -> None:
        self._waiting: deque[_Piece] = deque()
        self._bytes = self._lines = 0  # that wait
        self._lost = 0  # lines dropped since that was last told

    def after_fork(self) -> None:
        """In a forked process: what waits is the other's to write, and nobody is left to release the lock."""
        self._lock, self._is_writing = threading.RLock(), False
        self._forget()

    def close(self) -> None:
        """Close what was opened beside the stream itself."""
        self._descriptor.close()

    def write(self, text: str) -> None:
        """Write lines, now or when there is room for them. Never waits and never raises."""
        with suppress(Exception), self._lock:  # a closed stream: there is nowhere left to say so
            if not self._descriptor.is_open():
                self._write_text(text)
                return
            self._add(text.encode(self._encoding, "backslashreplace"))
            self._write()

    def flush(self, seconds: float = 0.0) -> bool:
        """Write what waits, for as long as somebody reads and up to `seconds`. Whether nothing is left."""
        until = time.monotonic() + seconds
        while self._waiting:
            with suppress(Exception), self._lock:
                self._write()
            left = until - time.monotonic()
            if self._waiting and (left <= 0 or not self._descriptor.has_room(left)):
                return False
        return True

    def _add(self, data: bytes) -> None:
        lines = data.count(b"\n")
        if self._waiting and (self._bytes + len(data) > MOST_BYTES or self._lines + lines > MOST_LINES):
            self._lost += lines
            return
        if self._lost:
            self._tell_lost()
        self._wait(data, lines, lines)

    def _tell_lost(self) -> None:
        lost, self._lost = self._lost, 0
        self._wait(self._dropped(lost).encode(self._encoding, "backslashreplace"), 1, lost)

    def _wait(self, data: bytes, lines: int, lost: int) -> None:
        self._waiting.append(_Piece(memoryview(data), lines, lost))
        self._bytes += len(data)
        self._lines += lines

    def _write(self) -> None:
        if self._is_writing:
            return
        self._is_writing = True
        try:
            while self._waiting and self._write_first():
                if self._lost and not self._waiting:
                    self._tell_lost()
        finally:
            self._is_writing = False

    def _write_first(self) -> bool:
        """Write what waits longest; False when not all of it found room."""
        data, lines, lost = self._waiting[0]
        written = 0
        try:
            for piece in whole_lines(data) if self.shared else (data,):
                sent = self._descriptor.send(piece)
                written += sent
                if sent < len(piece):
                    break
        except OSError:  # nobody can read it any more, a full disk
            lost = self._lost + sum(piece.lost for piece in self._waiting)
            self._forget()
            self._lost = lost
            return False
        self._bytes -= written
        if written < len(data):
            self._waiting[0] = _Piece(data[written:], lines, lost)
            return False
        self._waiting.popleft()
        self._lines -= lines
        return True

    def _write_text(self, text: str) -> None:
        """To a stream without a descriptor, as it is: one in memory, or of the host program's making."""
        try:
            self._stream.write(text)
        except UnicodeEncodeError:  # a strict ASCII or Latin-1 stream
            self._stream.write(text.encode(self._encoding, "backslashreplace").decode(self._encoding))
        self._stream.flush()


def has_room(stream: TextIO | None) -> bool:
    """Whether an ordinary write to it would not wait for a reader. True for what is no descriptor, or a closed one."""
    descriptor = Descriptor(stream)
    try:
        return not descriptor.is_open() or descriptor.has_room()
    finally:
        descriptor.close()


_streams: WeakSet[Stream] = WeakSet()


def _after_fork() -> None:
    for stream in _streams:
        stream.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)


def whole_lines(data: memoryview) -> Iterator[memoryview]:
    """`data` in pieces of whole lines, each no longer than what a pipe takes at once, whatever others write to it."""
    text = bytes(data)
    start = 0
    while start < len(text):
        end = text.rfind(b"\n", start, start + select.PIPE_BUF) + 1
        if not end:  # one line is longer than that
            end = text.find(b"\n", start) + 1 or len(text)
        yield data[start:end]
        start = end


class Descriptor:
    """The file descriptor of a stream, written to without waiting.

    Its own O_NONBLOCK is left alone: it would be everybody's who has inherited the descriptor, the user's shell for
    one. So a pipe or a terminal is opened once more. Where that is forbidden (as another user than it belongs to, or
    without /proc) a pipe is asked whether it has room, and another process that takes the room just then is waited for;
    so is whoever sits at such a terminal.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._number = -1
        with suppress(Exception):  # a stream in memory, or None
            self._number = stream.fileno()  # type: ignore[union-attr]
        self._file: tuple[int, int] | None = None  # device and inode of what is open as `_number`
        self._own = -1  # another descriptor of the same
        self._close: Callable[[], None] = lambda: None
        self._send: Send = self._send_to_file

    def is_open(self) -> bool:
        """Whether there is one. What it is, is looked at again: the application may have redirected it."""
        if self._number < 0:
            return False
        try:
            found = os.fstat(self._number)
        except OSError:  # somebody has closed it
            return self._own >= 0
        if (found.st_dev, found.st_ino) != self._file and not (self._file and stat.S_ISSOCK(found.st_mode)):
            # A socket that is new there is somebody's connection, which has got the number of what was closed.
            self.close()
            self._file = found.st_dev, found.st_ino
            self._open(found.st_mode)
        return True

    def close(self) -> None:
        self._close()
        self._file, self._own, self._close, self._send = None, -1, lambda: None, self._send_to_file

    def _open(self, mode: int) -> None:
        if stat.S_ISSOCK(mode):
            self._send = self._send_with_a_look
            if socket.getdefaulttimeout() is None:  # else the copy, and so every copy, would not block from then on
                connection = socket.socket(fileno=os.dup(self._number))
                self._own, self._close = connection.fileno(), connection.close
                self._send = lambda data: connection.send(data, socket.MSG_DONTWAIT)
        elif stat.S_ISFIFO(mode) or (stat.S_ISCHR(mode) and os.isatty(self._number)):
            if stat.S_ISFIFO(mode):
                self._send = self._send_with_a_look
            with suppress(OSError):
                own = os.open(f"/proc/self/fd/{self._number}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
                self._own, self._close = own, partial(os.close, own)
                self._send = partial(os.write, own)

    def send(self, data: memoryview) -> int:
        """How many bytes of it found room. Raises OSError when none ever will."""
        try:
            return self._send(data)
        except BlockingIOError:
            return 0

    def has_room(self, seconds: float = 0.0) -> bool:
        """Whether a write would find room, or fail, after waiting up to `seconds` for that."""
        poll = select.poll()
        poll.register(self._own if self._own >= 0 else self._number, select.POLLOUT)
        return bool(poll.poll(seconds * 1000))

    def _send_to_file(self, data: memoryview) -> int:
        return os.write(self._number, data)

    def _send_with_a_look(self, data: memoryview) -> int:
        return os.write(self._number, data[: select.PIPE_BUF]) if self.has_room() else 0

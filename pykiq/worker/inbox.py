"""The inbox: what the exchange sleeps on. Any thread puts messages in; only the exchange takes them out.

A deque takes messages without a lock. The bell is rung only when the exchange is asleep, and a sender who knows that
the message can wait does not ring at all: waking a thread costs more than most jobs.

The exchange sleeps on a lock, or, while it watches connections, in a poll with a pipe for a bell. The lock is what
busy processes use: a write to a pipe lets go of the interpreter's lock, and the worker thread that wrote waits for it.
"""

from __future__ import annotations

import os
import select
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

Message = TypeVar("Message")


class Inbox(Generic[Message]):
    """Messages for one sleeping thread, and the connections it listens to."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self.leave = self._messages.append
        """Leave a message for when the owner next looks. The method itself: it is called for every job."""
        self._bell = threading.Lock()
        self._bell.acquire()
        self._asleep = False
        self._poll = select.poll()
        self._pipe: tuple[int, int] | None = None  # made for the first connection
        self._hearers: dict[int, Callable[[], None]] = {}  # by descriptor

    def put(self, message: Message) -> None:
        """Leave a message and wake the owner."""
        self._messages.append(message)
        self.ring()

    def __len__(self) -> int:
        return len(self._messages)

    def ring(self) -> None:
        """Wake the owner if it sleeps.

        First the flag, then the question which bell: an owner who has changed beds in between has either not raised the
        flag again yet, and looks for messages after it has, or is woken once too often.
        """
        if self._asleep:
            self._asleep = False
            if self._hearers and self._pipe:
                with suppress(BlockingIOError):  # a full pipe wakes too
                    os.write(self._pipe[1], b"!")
            else:
                with suppress(RuntimeError):  # two rang at once: the bell was free already
                    self._bell.release()

    def sleep(self, seconds: float) -> None:
        """Sleep until the bell rings or a watched connection has been heard, or not at all if there are messages.

        Owner only. The sleep is announced before the last look, so a message that comes in between is seen or rung for.
        A bell that was rung after the last sleep had ended makes this one short; that does no harm.
        """
        if self._hearers:
            self._asleep = seconds > 0
            ready = self._poll.poll(0 if self._messages else seconds * 1000)
            self._asleep = False
            for descriptor, _ in ready:
                hear = self._hearers.get(descriptor)
                if hear is not None:  # another one may have been heard first, and this one be watched no more
                    hear()
                elif self._pipe and descriptor == self._pipe[0]:
                    os.read(descriptor, 4096)
        elif seconds > 0:
            self._asleep = True
            if not self._messages:
                self._bell.acquire(timeout=seconds)
            self._asleep = False

    def take(self) -> list[Message]:
        """All messages there are now, in the order they came. Owner only."""
        if not self._messages:
            return []
        take = self._messages.popleft
        return [take() for _ in range(len(self._messages))]

    def watch(self, descriptor: int, hear: Callable[[], None]) -> None:
        """Listen to a connection: `hear` is called, by `sleep`, whenever there is something to read. Owner only."""
        if self._pipe is None:
            self._pipe = os.pipe()
            for end in self._pipe:
                os.set_blocking(end, False)
                weakref.finalize(self, os.close, end)  # not before the last thread that may ring has let go of it
            self._poll.register(self._pipe[0], select.POLLIN)
        self._poll.register(descriptor, select.POLLIN)
        self._hearers[descriptor] = hear

    def unwatch(self, descriptor: int) -> None:
        """Listen to it no more. Owner only."""
        self._poll.unregister(descriptor)
        del self._hearers[descriptor]

"""The inbox: what the exchange sleeps on. Any thread puts messages in; only the exchange takes them out.

A deque takes messages without a lock. The bell is rung only when the exchange is asleep, and a sender who knows that
the message can wait does not ring at all: waking a thread costs more than most jobs.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from typing import Generic, TypeVar

Message = TypeVar("Message")


class Inbox(Generic[Message]):
    """Messages for one sleeping thread."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._bell = threading.Lock()
        self._bell.acquire()
        self._asleep = False

    def put(self, message: Message) -> None:
        """Leave a message and wake the owner."""
        self._messages.append(message)
        self.ring()

    def leave(self, message: Message) -> None:
        """Leave a message for when the owner next looks."""
        self._messages.append(message)

    def ring(self) -> None:
        """Wake the owner if it sleeps."""
        if self._asleep:
            self._asleep = False
            with suppress(RuntimeError):  # two rang at once: the bell was free already
                self._bell.release()

    def sleep(self, seconds: float) -> None:
        """Sleep until the bell rings, or not at all if there are messages. Owner only.

        The sleep is announced before the last look, so a message that comes in between is seen or rung for. A bell
        that was rung after the last sleep had ended makes this one short; that does no harm.
        """
        self._asleep = True
        if not self._messages:
            self._bell.acquire(timeout=seconds)
        self._asleep = False

    def take(self) -> list[Message]:
        """All messages there are now, in the order they came. Owner only."""
        take = self._messages.popleft
        return [take() for _ in range(len(self._messages))]

"""The tether: what ties the processes of a swarm together. Made by the parent before the first fork.

    life      a pipe that only the parent can write to, and never does: its end tells everybody that the parent is gone
    bell      a pipe from the parent to the keeper: look at the board now
    reports   datagrams from the children to the keeper: what they have counted

A pipe's end is read whatever kills the parent, on every system. Who is forked closes the ends that are not its own: as
long as a child held the writing end of `life`, nobody would ever read the end of it.
"""

from __future__ import annotations

import contextlib
import os
import socket

PORTION = 1 << 18  # bytes of a datagram, at most


class Tether:
    """The file descriptors, all of them in the parent, each where it belongs after `of_child` and `of_keeper`."""

    def __init__(self) -> None:
        self.life, self._alive = os.pipe()
        self.bell, self._ring = os.pipe()
        self.reports, self._reporting = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        os.set_blocking(self.bell, False)
        os.set_blocking(self._ring, False)
        self.reports.setblocking(False)
        self._reporting.setblocking(False)

    def ring(self) -> None:
        """Parent: the board has changed."""
        with contextlib.suppress(BlockingIOError):  # it has not heard the last thousand rings either
            os.write(self._ring, b"!")

    def let_go(self) -> None:
        """Parent: everybody who still runs shall end."""
        if self._alive >= 0:
            os.close(self._alive)
        self._alive = -1

    def close(self) -> None:
        """Parent: let go, and close the rest."""
        self.let_go()
        for descriptor in (self.life, self.bell, self._ring):
            os.close(descriptor)
        self.reports.close()
        self._reporting.close()

    def of_child(self) -> None:
        """Child: close what belongs to others."""
        for descriptor in (self._alive, self.bell, self._ring):
            os.close(descriptor)
        self.reports.close()

    def of_keeper(self) -> None:
        """Keeper: the same."""
        for descriptor in (self._alive, self._ring):
            os.close(descriptor)
        self._reporting.close()

    def report(self, datagram: bytes) -> None:
        """Child: send to the keeper. Raises OSError when there is nobody, or no room just now."""
        self._reporting.send(datagram)

    def heard(self) -> bytes | None:
        """Keeper: the next datagram, None when there is none now."""
        try:
            return self.reports.recv(PORTION)
        except BlockingIOError:
            return None

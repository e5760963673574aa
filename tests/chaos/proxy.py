"""A TCP proxy that misbehaves on command: it cuts or refuses connections, swallows answers, or leads elsewhere."""

from __future__ import annotations

import contextlib
import socket
import threading
import time


class Proxy:
    """Passes bytes between a free port and the server on `target`, until told otherwise."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._refusing = False
        self._deaf = False  # answers are swallowed
        self._linger = 0.0  # seconds for which the server does not learn that its client has gone
        self.swallowed = 0  # bytes of answers that never arrived
        self._start(self._accept)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def switch(self, target: int) -> None:
        """Lead to another server from now on. Connections that are open stay so, as a virtual address leaves them."""
        self._target = target

    def cut(self, seconds: float) -> None:
        """Close every connection and refuse new ones for a while."""
        self._refusing = True
        self._drop()
        time.sleep(seconds)
        self._refusing = self._deaf = False

    def swallow(self) -> None:
        """Swallow answers from now on, and leave the connections open."""
        self._deaf = True

    def half(self, seconds: float, *, linger: float = 0.0) -> None:
        """Let requests through and swallow the answers for a while, then cut.

        With `linger` the server keeps its side of the connections for that long: a command that blocks there goes on
        blocking, and moves a job for a client that has long gone.
        """
        self.swallow()
        time.sleep(seconds)
        self._linger = linger
        self.cut(0.02)
        self._linger = 0.0

    def close(self) -> None:
        self._refusing = True
        self._listener.close()
        self._drop()

    def _drop(self) -> None:
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for near, far in pairs:
            _hang_up(near)
            if self._linger:
                timer = threading.Timer(self._linger, _hang_up, [far])
                timer.daemon = True
                timer.start()
            else:
                _hang_up(far)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                _hang_up(near)
                continue
            with self._lock:
                welcome = not self._refusing
                if welcome:
                    self._pairs.append((near, far))
            if welcome:
                self._start(self._requests, near, far)
                self._start(self._answers, near, far)
            else:
                _hang_up(near)
                _hang_up(far)

    def _requests(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(65536):
                far.sendall(data)
        if not self._linger:
            _hang_up(far)

    def _answers(self, near: socket.socket, far: socket.socket) -> None:
        deaf = False
        with contextlib.suppress(OSError):
            while data := far.recv(65536):
                # Once an answer is missing, nothing on this connection may pass: a stream has no holes.
                deaf = deaf or self._deaf
                if deaf:
                    self.swallowed += len(data)
                else:
                    near.sendall(data)
        _hang_up(near)

    def _start(self, body: object, *args: object) -> None:
        threading.Thread(target=body, args=args, daemon=True).start()  # type: ignore[arg-type]


def _hang_up(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()

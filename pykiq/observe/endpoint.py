"""The HTTP endpoint of one process: /metrics for Prometheus, /live and /ready for whoever restarts and routes.

Anybody who reaches the port may open connections and then say nothing, or a byte a second. What that may cost is
bounded: threads, descriptors, bytes and time. The oldest connection makes room for a new one, so that a probe is
answered however many others hang on.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from socketserver import TCPServer
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pykiq.errors import AddressTaken, ConfigError
from pykiq.logger import get_logger
from pykiq.observe.exposition import choose_encoder

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

DEADLINE = 10.0  # seconds from a connection's first moment to its last: what Prometheus waits for a scrape
MOST = 32  # connections at a time, each with a thread; the oldest is closed for one more
BACKLOG = 64  # connections that the system keeps until they are taken
LONGEST = 16_384  # bytes of a request that are read
SCRAPES = 2  # answered at a time, as a pair of Prometheus asks: each is some milliseconds of the interpreter's lock
REST = 0.2  # seconds until the next attempt to take a connection when there is no descriptor for it

EVERYWHERE = ("0.0.0.0", "::")
_TEXT = "text/plain; charset=utf-8"

log = get_logger()


class Endpoint:
    """The server, on a daemon thread of its own. It is bound when made, and answers from `start` to `stop`.

    `alive` says whether the loop that moves jobs still turns, `ready` whether this process takes jobs, or why not: both
    are called on server threads, and one that raises counts as no. `registry` is asked for at each scrape. `port` 0
    takes a free one: read `.port`.
    Raises AddressTaken when something else has the port, ConfigError when the address cannot be bound at all.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        registry: Callable[[], CollectorRegistry],
        alive: Callable[[], bool],
        ready: Callable[[], bool | str],
    ) -> None:
        try:
            self._server = _Server(host, port)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            taken = getattr(error, "errno", None) == errno.EADDRINUSE
            raise (AddressTaken if taken else ConfigError)(
                f"the metrics port {_address(host, port)} cannot be opened: {reason}; "
                "choose another with --metrics-port, or 0 for any free one"
            ) from error
        self._server.registry = registry
        self._server.checks = {"/live": ("alive", alive), "/ready": ("ready", ready)}
        self.host = host
        self.port: int = self._server.server_address[1]
        self._thread: threading.Thread | None = None
        self._bell = -1  # the end of a pipe: what is written to it ends the thread

    def announce(self) -> None:
        """Tell the log where it is, and who can ask."""
        url = f"http://{_address(self.host, self.port)}/metrics"
        everywhere = "all interfaces; --metrics-host says otherwise" if self.host in EVERYWHERE else None
        log.info("metrics", port=self.port, url=url, **({"open_to": everywhere} if everywhere else {}))

    def start(self) -> Endpoint:
        if self._thread is None:
            heard, self._bell = os.pipe()
            self._thread = threading.Thread(
                target=self._server.serve_until, args=(heard,), name="pykiq-metrics", daemon=True
            )
            self._thread.start()
        return self

    def stop(self) -> None:
        """Close the port, and what connections there are: requests under way are not waited for."""
        if self._thread is not None:
            os.write(self._bell, b"!")  # not only closed: a process that a handler has forked may hold it open
            os.close(self._bell)
            self._thread.join()
            self._thread = None
        self._server.server_close()
        self._server.hang_up()

    def __enter__(self) -> Endpoint:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a client that never reads its answer must not keep the process from stopping
    request_queue_size = BACKLOG
    registry: Callable[[], CollectorRegistry]
    checks: dict[str, tuple[str, Callable[[], bool | str]]]

    def __init__(self, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._lock = threading.Lock()
        self._open: dict[socket.socket, float] = {}  # what has not been hung up, oldest first → until when (monotonic)
        self._serving = 0  # threads
        self.scrapes = threading.BoundedSemaphore(SCRAPES)
        super().__init__((host, port), _Request)

    def server_bind(self) -> None:
        if self.server_address[0] == "::":  # "all interfaces" means those with IPv4 addresses, too
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # HTTPServer's own asks the name service for this machine's full name, which can take many seconds.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            return super().get_request()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                time.sleep(REST)  # the connection waits, so the loop would be back here at once
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            if len(self._open) >= MOST:
                self._hang_up(next(iter(self._open)))
            if self._serving >= 2 * MOST:  # those hung up have not noticed yet: they collect metrics just now
                raise ConnectionAbortedError("too many connections")
            self._open[request] = time.monotonic() + DEADLINE
            self._serving += 1
        try:
            super().process_request(request, client_address)
        except BaseException:  # the system has no thread left
            self._ended(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._ended(request)

    def _ended(self, request: socket.socket) -> None:
        with self._lock:
            self._open.pop(request, None)
            self._serving -= 1

    def serve_until(self, heard: int) -> None:
        """Serve until there is something to read from the descriptor `heard`, and close that.

        The base class's own loop wakes up to see whether it shall stop, which is a third of what an idle worker costs.
        """
        with selectors.PollSelector() as selector:  # which needs no descriptor of its own
            selector.register(self, selectors.EVENT_READ)
            selector.register(heard, selectors.EVENT_READ)
            while True:
                ready = [key.fd for key, _ in selector.select(self._patience())]
                if heard in ready:
                    os.close(heard)
                    return
                if ready:
                    self._accept()
                self.hang_up(time.monotonic())

    def _accept(self) -> None:
        try:
            request, client = self.get_request()
        except OSError:
            return  # it has gone again
        try:
            self.process_request(request, client)
        except Exception:
            self.handle_error(request, client)
            self.shutdown_request(request)

    def _patience(self) -> float | None:
        """Seconds until the oldest connection's time is over; None when there is none."""
        with self._lock:
            deadline = next(iter(self._open.values()), None)
        return None if deadline is None else max(deadline - time.monotonic(), 0.0) + 0.01

    def hang_up(self, now: float | None = None) -> None:
        """Hang up on everybody, or on those whose deadline is before `now`."""
        with self._lock:
            for request, deadline in list(self._open.items()):
                if now is not None and deadline > now:
                    break
                self._hang_up(request)

    def _hang_up(self, request: socket.socket) -> None:
        """Its thread reads the end, or cannot write any more, and closes it."""
        del self._open[request]
        with suppress(OSError):  # the client has gone, or the thread was quicker
            request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away in the middle: not worth a traceback on standard error."""
        get_logger("pykiq.endpoint").debug("a request broke off", client=str(client_address))


class _Bounded:
    """What a client sends, until it is too much: then it has ended."""

    def __init__(self, stream: BufferedIOBase) -> None:
        self._stream = stream
        self._left = LONGEST
        self.close = stream.close

    def readline(self, limit: int) -> bytes:
        line = self._stream.readline(min(limit, self._left))
        self._left -= len(line)
        return line


class _Request(BaseHTTPRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]
    server_version = "pykiq"
    sys_version = ""
    timeout = DEADLINE
    # The form of the base class's own answers: 501 for every other method, 400 for what is not HTTP.
    error_message_format = "%(code)d %(message)s\n"
    error_content_type = _TEXT

    def setup(self) -> None:
        super().setup()
        self.rfile = _Bounded(self.rfile)  # type: ignore[assignment] # pyright: ignore[reportAttributeAccessIssue]

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        try:
            status, kind, body = self._answer(path)
        except Exception as error:
            get_logger("pykiq.endpoint").error("a request failed", path=path, error=repr(error))
            status, kind, body = HTTPStatus.INTERNAL_SERVER_ERROR, _TEXT, b"error\n"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        if path == "/metrics":
            encode, kind = choose_encoder(self.headers.get("Accept") or "")
            with self.server.scrapes:
                return HTTPStatus.OK, kind, encode(self.server.registry())
        if path in self.server.checks:
            word, check = self.server.checks[path]
            answer = _asked(check)
            if answer is True:
                return HTTPStatus.OK, _TEXT, f"{word}\n".encode()
            why = f": {answer}" if answer else ""
            return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, f"not {word}{why}\n".encode()
        return HTTPStatus.NOT_FOUND, _TEXT, b"there are /metrics, /live and /ready here\n"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a line per scrape would bury the jobs."""


def _asked(check: Callable[[], bool | str]) -> bool | str:
    try:
        return check()
    except Exception:
        return False

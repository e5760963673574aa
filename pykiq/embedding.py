"""`pykiq.embed`: a worker inside another program, on threads of its own."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pykiq import names
from pykiq.client.configure import current
from pykiq.config import Config
from pykiq.errors import ConfigError, StoreError
from pykiq.jobs.registry import registry

if TYPE_CHECKING:
    from pykiq.worker.process import Process


def embed(config: Config | None = None, /) -> Embedded:
    """A worker inside this program, for as long as the block lasts: `with pykiq.embed(): …` or `async with`.

        async with pykiq.embed(pykiq.Config.of(redis="redis://…", queues=("critical", "default"), concurrency=5)):
            ...

    `config` is what `pykiq.configure` set unless given. The handlers are those declared by now, in modules that the
    program has imported; `require` is not looked at. At the end of the block the worker stops as on TERM: running jobs
    have `config.timeout` seconds, what still runs then goes back to its queue. No signal handler is installed and the
    program's logging is used. `async def` handlers run on the worker's own event loop, also in an asyncio program.

    What `pykiq run` warns of at its start is warned of here, too: handlers whose queue this worker does not serve, jobs
    that wait without a handler, a server that may evict jobs.

    Raises, when the block is entered, ConfigError when no handler is declared or gevent or eventlet has patched this
    process, StoreError when Redis cannot be used, AddressTaken when another process has the metrics port.
    """
    return Embedded(current() if config is None else config)


class Embedded:
    """A worker of `embed`: `start` and `stop` are the ends of its block. It can be started once."""

    def __init__(self, config: Config) -> None:
        if not isinstance(config, Config):
            raise ConfigError(f"embed() was given {config!r:.80}; expected a Config, as of Config.of(redis=…)")
        self.config = config
        self._process: Process | None = None
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._exit_code: int | None = None

    @property
    def identity(self) -> str | None:
        """The worker's name in Redis and on the dashboards; None before the start."""
        return None if self._process is None else self._process.identity

    @property
    def is_running(self) -> bool:
        """Whether the worker runs. It ends by itself when somebody presses Stop on the dashboard."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def exit_code(self) -> int | None:
        """What `pykiq run` would exit with: 0 when every job is done or back in its queue. None before the end."""
        return self._exit_code

    def start(self) -> None:
        """Start, and wait until jobs are taken. Raises as `embed` says."""
        # Imported here: a program that only pushes jobs does not load what runs them.
        from pykiq.store.connected import connected
        from pykiq.store.server import examine
        from pykiq.worker import checks, runtime
        from pykiq.worker.process import Process

        if self._thread is not None:
            raise ConfigError("this worker has been started before; make another with pykiq.embed()")
        if not len(registry):
            raise ConfigError("embed() has no handlers; import the modules with @pykiq.job or pykiq.Job before it")
        names.load_all()
        runtime.check()
        handlers = checks.handled()
        with connected(self.config) as client:
            server = examine(client, self.config)
            checks.warn(client, self.config, server, handlers)
        checks.warn_of_settings_of_run(self.config)
        self._process = process = Process(self.config, embedded=True)
        self._thread = threading.Thread(target=self._run, args=(process,), name="pykiq-main", daemon=True)
        self._thread.start()
        process.started.wait()
        if self._error or self._exit_code:
            raise self._error or StoreError(f"the worker could not start on {self.config.redis_shown}; see its log")

    def quiet(self) -> None:
        """Take no more jobs; those that run go on."""
        if self._process is not None:
            self._process.command("TSTP")

    def stop(self) -> None:
        """Stop, and wait for the end: up to `config.timeout` seconds for running jobs, and a few more."""
        if self._process is not None and self._thread is not None:
            self._process.command("TERM")
            self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    def _run(self, process: Process) -> None:
        try:
            self._exit_code = process.run()
        except BaseException as error:
            self._error = error
        finally:
            process.started.set()  # `start` need not wait any longer

"""`pykiq run`: configuration, handlers, server, and then the worker until it is told to stop."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from pykiq import names
from pykiq.cli import inherited, startup
from pykiq.cli.options import HELP, connection_options, loaded
from pykiq.cli.output import say
from pykiq.cli.require import HandlersFailed, load_all, suggested
from pykiq.client.configure import configure, current
from pykiq.config.load import Loaded, with_code
from pykiq.errors import ConfigError
from pykiq.jobs.registry import registry
from pykiq.logger import get_logger
from pykiq.observe import log
from pykiq.observe.stream import has_room
from pykiq.observe.systemd import Systemd
from pykiq.store.connected import connected
from pykiq.store.server import examine
from pykiq.worker import checks, runtime, signals
from pykiq.worker.process import Process

LAST_LINES = 1.0  # seconds for log lines that have found no room yet
FAREWELL = 5.0  # seconds that threads left by jobs, and what is registered with atexit, have to end by themselves


@click.command(context_settings=HELP)
@click.option(
    "-r", "--require", multiple=True, metavar="MODULE", help="Module, package or file with handlers; repeatable."
)
@click.option("-q", "--queue", multiple=True, metavar="NAME[,WEIGHT]", help="Serve this queue; repeatable.")
@click.option("-c", "--concurrency", metavar="N", help="Jobs at a time; 10 by default.")
@connection_options
@click.option("-t", "--timeout", metavar="SECONDS", help="How long a stop waits for running jobs; 25 by default.")
@click.option("-g", "--tag", metavar="TAG", help="Shown on the dashboards; the directory's name by default.")
@click.option("--processes", metavar="N", help="Run N children, replaced when they crash; no child by default.")
@click.option("--max-rss", metavar="MB", help="Replace a child with more memory than this after its current jobs.")
@click.option("--foreign", metavar="leave|retry|dead", help="Jobs without a handler here; leave by default.")
@click.option("--wire", metavar="auto|8|7|6", help="Whose dialect is written; auto by default.")
@click.option("--rails", metavar="auto|7.2|6.1", help="Whose ActiveJobs are pushed; auto by default.")
@click.option("--metrics-port", metavar="PORT", help="Serve /metrics, /live and /ready there.")
@click.option("--metrics-host", metavar="ADDRESS", help="At this address only; all interfaces by default.")
@click.option(
    "--metrics-max-classes", metavar="N", help="Classes and queues with a label of their own; 200 by default."
)
@click.option("--log-format", metavar="auto|json|pretty", help="auto is pretty on a terminal, JSON elsewhere.")
@click.option("-v", "--verbose", is_flag=True, help="Log at level debug.")
def run(**parameters: Any) -> int:
    """Run jobs until TERM, INT or Ctrl-C. TSTP stops taking new ones; TTIN logs every stack."""
    return serve(with_tag(loaded(parameters), inherited.directory()))


def serve(settings: Loaded) -> int:
    """Run a worker with these settings in this thread; returns the exit code."""
    runtime.check_system()
    from pykiq.cli import process_one  # which is made of what only POSIX has

    output = log.configure(settings.config.log_format, settings.config.log_level)
    process_one.step_down()
    signals.install(_stop_while_starting)
    inherited.hear_signals()
    settings = load_handlers(settings, Path.cwd())
    names.load_all()
    runtime.check()
    log.serve_application(output)
    config = settings.config
    handlers = checks.handled()
    with connected(config) as client:
        server = examine(client, config)
        startup.announce(config, server, handlers, file=settings.file, notes=settings.notes)
        checks.warn(client, config, server, handlers)
    swarming = config.processes is not None or config.max_rss is not None
    systemd = Systemd(os.environ)
    if not swarming:
        return _leave(Process(config, systemd=systemd).run())
    from pykiq.worker.swarm import Swarm

    return _leave(Swarm(config, systemd=systemd).run())


def _leave(code: int) -> int:
    """The exit code; makes sure that the process does end with it.

    Python waits without end for threads that a job has left running: `asyncio.to_thread` and thread pools make such,
    and joins even those that are daemons. Their job is back in its queue by now.
    """

    signals.ignore()

    def end() -> None:
        time.sleep(FAREWELL)
        stuck = sorted(thread.name for thread in threading.enumerate() if thread is not threading.current_thread())
        get_logger().warning("threads_left_running", threads=stuck, next="the process ends without them")
        os._exit(code)

    threading.Thread(target=end, name="pykiq-farewell", daemon=True).start()
    if not log.flush(LAST_LINES) or not (has_room(sys.stdout) and has_room(sys.stderr)):
        # Nobody reads the log. Python flushes its standard streams at the very end, and would wait for ever.
        atexit._run_exitfuncs()
        os._exit(code)
    return code


def _stop_while_starting(name: str) -> None:
    """Nothing is claimed yet, so a stop is an exit at once; whatever a module is doing while it is imported."""
    if name in signals.STOPPING:
        get_logger().info("stopped", clean=True, signal=name, next="it had not started yet")
        os._exit(0)


def load_handlers(settings: Loaded, directory: Path) -> Loaded:
    """Load what `require` names. Returns the settings with what the modules configured themselves.

    Raises:
        ConfigError: there is nothing to load, or nothing in it.
        HandlersFailed: a module raised; its traceback has been printed.
    """
    if not settings.config.require:
        raise ConfigError(
            "no handlers: give --require MODULE, such as --require app.handlers or --require jobs.py"
            + suggested(directory)
        )
    # The modules' own pushes go where the worker takes its jobs from.
    configure(settings.config)
    try:
        load_all(settings.config.require, directory, lambda: len(registry))
    except HandlersFailed as error:
        if error.details:
            say(error.details, err=True)
        raise
    if not len(registry):
        raise ConfigError(
            f"--require {' '.join(settings.config.require)} declares no handler;"
            " expected a function with @pykiq.job or a subclass of pykiq.Job"
        )
    settings = with_code(settings, current())
    configure(settings.config)
    return settings


def with_tag(settings: Loaded, directory: Path) -> Loaded:
    """The directory's name as the tag when none was given, as Ruby's 8.1 does (WIRE.md §0).

    For `…/shop/releases/20310501` and `…/shop/current` that is `shop`: a release's number tells nobody anything.
    """
    if "tag" in settings.given:
        return settings
    if directory.name == "current" or (directory.name.isdigit() and directory.parent.name == "releases"):
        directory = directory.parent.parent if directory.name != "current" else directory.parent
    tag = directory.name.encode("utf-8", "replace").decode()  # bytes that are no UTF-8 are no reason not to start
    return replace(settings, config=replace(settings.config, tag=tag))

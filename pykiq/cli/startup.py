"""What `pykiq run` says first: versions, where Redis is, the queues, the handlers. What it warns of: worker.checks."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping

from pykiq.cli.output import say
from pykiq.config import Capsule, Config
from pykiq.logger import get_logger
from pykiq.store.server import Server
from pykiq.version import __version__

NAMED = 8  # handlers that a banner names


def announce(
    config: Config, server: Server, handlers: Mapping[str, str], *, file: str | None, notes: Iterable[str]
) -> None:
    """Say what starts: versions, where Redis is, the queues, the handlers (class → queue); a banner on a terminal.

    `notes` are remarks on the configuration.
    """
    log = get_logger()
    if config.log_format != "json" and sys.stderr.isatty():
        say("\n".join(banner(config, server, handlers, file)), err=True)
    else:
        _log_start(config, server, handlers, file)
    for note in notes:
        log.warning("configuration", note=note)


def banner(config: Config, server: Server, handlers: Mapping[str, str], file: str | None) -> list[str]:
    """What starts, for somebody who watches: one line each for the versions, each capsule and the handlers."""
    python = platform.python_version()
    names = sorted(handlers)
    listed = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    capsules = [
        f"  {capsule.name}: {capsule.concurrency} at a time from {' '.join(weighted_names(capsule))} ({capsule.mode})"
        for capsule in config.capsules
    ]
    place = f"{server.name} {server.version} at {config.redis_shown}"
    return [
        " · ".join([f"pykiq {__version__}", f"Python {python}", place, config.environment, *([file] if file else [])]),
        *capsules,
        f"  handlers: {listed}",
        f"  Ctrl-C stops it: running jobs have {config.timeout:g} s; again, and they go back to their queues at once",
    ]


def _log_start(config: Config, server: Server, handlers: Mapping[str, str], file: str | None) -> None:
    """The same as lines of the log, for those who search it."""
    log = get_logger()
    log.info(
        "starting",
        pykiq=__version__,
        python=platform.python_version(),
        server=f"{server.name} {server.version}",
        redis=config.redis_shown,
        environment=config.environment,
        config=file,
        concurrency=config.concurrency,
    )
    for capsule in config.capsules:
        log.info(
            "serving",
            capsule=capsule.name,
            concurrency=capsule.concurrency,
            mode=capsule.mode,
            queues=weighted_names(capsule),
        )
    log.info("handling", handlers={name: handlers[name] for name in sorted(handlers)})


def weighted_names(capsule: Capsule) -> list[str]:
    """The capsule's queues, each once, as `name` or `name,weight`."""
    weights = dict(capsule.queues)
    return [f"{name},{weights[name]}" if weights[name] else name for name in capsule.names]

"""What is checked and said before the first job: the server, the queues, the handlers, and who waits without one."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping

import redis
import structlog

from pykiq.cli import waiting
from pykiq.cli.output import say
from pykiq.config import Capsule, Config
from pykiq.store.server import Server
from pykiq.version import __version__

NAMED = 8  # handlers that a banner names


def announce(
    config: Config, server: Server, handlers: Mapping[str, str], *, file: str | None, notes: Iterable[str]
) -> None:
    """Say what starts: versions, where Redis is, the queues, the handlers (class → queue); a banner on a terminal.

    Warns of what is worth it, handlers whose queue is not served here among that.
    """
    log = structlog.get_logger("pykiq")
    if config.log_format != "json" and sys.stderr.isatty():
        say("\n".join(banner(config, server, handlers, file)), err=True)
    else:
        _log_start(config, server, handlers, file)
    for note in notes:
        log.warning("configuration", note=note)
    if server.policy not in {None, "noeviction"}:
        log.warning(
            "jobs_may_be_evicted",
            maxmemory_policy=server.policy,
            next="set maxmemory-policy to noeviction, or jobs are lost when the server's memory is full",
        )
    for queue in sorted(set(handlers.values()) - set(config.queues)):
        log.warning(
            "queue_not_served",
            queue=queue,
            handlers=sorted(name for name in handlers if handlers[name] == queue),
            next="their pushes go there; serve it here with -q, or in another process",
        )


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
    ]


def _log_start(config: Config, server: Server, handlers: Mapping[str, str], file: str | None) -> None:
    """The same as lines of the log, for those who search it."""
    log = structlog.get_logger("pykiq")
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


def announce_waiting(client: redis.Redis, config: Config, handlers: Mapping[str, str]) -> None:
    """Warn about classes that wait in our queues and have no handler here."""
    fate = {
        "leave": "left in the queue for a process that has one",
        "retry": "put into the retry set when claimed",
        "dead": "put into the dead set when claimed",
    }[config.foreign]
    known = {name.removeprefix("::") for name in handlers}
    for found in waiting.without_handler(client, config.queues, lambda name: name.removeprefix("::") in known):
        structlog.get_logger("pykiq").warning(
            "waiting_without_handler",
            queue=found.queue,
            classes=dict(found.classes),
            next=fate,
        )

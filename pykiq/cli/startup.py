"""What is checked and said before the first job: the server, the queues, the handlers, and who waits without one."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping

import redis
import structlog

from pykiq.cli import waiting
from pykiq.config import Capsule, Config
from pykiq.store.server import Server
from pykiq.version import __version__


def announce(config: Config, server: Server, *, file: str | None, notes: Iterable[str]) -> None:
    """The first lines of the log: versions, where Redis is, the queues; and what is worth a warning."""
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
    for note in notes:
        log.warning("configuration", note=note)
    if server.policy not in {None, "noeviction"}:
        log.warning(
            "jobs_may_be_evicted",
            maxmemory_policy=server.policy,
            next="set maxmemory-policy to noeviction, or jobs are lost when the server's memory is full",
        )
    for capsule in config.capsules:
        log.info(
            "serving",
            capsule=capsule.name,
            concurrency=capsule.concurrency,
            mode=capsule.mode,
            queues=weighted_names(capsule),
        )


def weighted_names(capsule: Capsule) -> list[str]:
    """The capsule's queues, each once, as `name` or `name,weight`."""
    weights = dict(capsule.queues)
    return [f"{name},{weights[name]}" if weights[name] else name for name in capsule.names]


def announce_handlers(config: Config, handlers: Mapping[str, str]) -> None:
    """Say which classes are handled, and warn of those (class → queue in `handlers`) whose queue is not served here."""
    log = structlog.get_logger("pykiq")
    log.info("handling", handlers={name: handlers[name] for name in sorted(handlers)})
    served = set(config.queues)
    for queue in sorted(set(handlers.values()) - served):
        log.warning(
            "queue_not_served",
            queue=queue,
            handlers=sorted(name for name in handlers if handlers[name] == queue),
            next="their pushes go there; serve it here with -q, or in another process",
        )


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

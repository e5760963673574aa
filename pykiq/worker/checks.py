"""What is looked at before the first job, by `pykiq run` and `pykiq.embed` alike, and what is warned of."""

from __future__ import annotations

from collections.abc import Mapping

import redis

from pykiq.config import Config
from pykiq.config.settings import SLIP, did_you_mean
from pykiq.jobs.registry import Registry, registry
from pykiq.logger import get_logger
from pykiq.store import waiting
from pykiq.store.rights import check_keys, lacking
from pykiq.store.server import Server

FATES = {
    "leave": "left in the queue for a process that has one",
    "retry": "put into the retry set when claimed",
    "dead": "put into the dead set when claimed",
}
"""What becomes of a job without a handler, by `Config.foreign`."""


def handled(handlers: Registry = registry) -> dict[str, str]:
    """The classes that have a handler, each with the queue its pushes go to.

    Raises RegistrationError for a class of jobs of which no instance can be made.
    """
    found = {}
    for name in handlers.names():
        handler = handlers.get(name)
        if handler is not None:
            handler.check_made()
            found[handler.name] = str(handler.options["queue"])
    return found


def warn(client: redis.Redis, config: Config, server: Server, handlers: Mapping[str, str]) -> None:
    """Warn of what will lose jobs or leave them waiting; `handlers` is what `handled` returns.

    Raises redis.RedisError, and StoreError when this user of Redis could settle no job.
    """
    check_keys(client, config.queues)
    _of_rights(client)
    _of_eviction(server)
    _of_queues_not_served(config, handlers)
    _of_classes_without_handler(client, config, handlers)


def warn_of_settings_of_run(config: Config) -> None:
    """Warn of settings that have no meaning in a worker inside another program."""
    for name in ("processes", "max_rss"):
        if getattr(config, name) is not None:
            get_logger().warning(
                "setting_without_meaning",
                setting=name,
                value=getattr(config, name),
                next="a worker inside another program has no children; it is for `pykiq run`",
            )


def _of_rights(client: redis.Redis) -> None:
    for one in lacking(client):
        get_logger().warning(
            "rights_lacking",
            commands=list(one.commands),
            means=one.without,
            next=f"allow it: ACL SETUSER … {one.rules}",
        )


def _of_eviction(server: Server) -> None:
    if server.policy not in {None, "noeviction"}:
        get_logger().warning(
            "jobs_may_be_evicted",
            maxmemory_policy=server.policy,
            next="set maxmemory-policy to noeviction, or jobs are lost when the server's memory is full",
        )


def _of_queues_not_served(config: Config, handlers: Mapping[str, str]) -> None:
    for queue in sorted(set(handlers.values()) - set(config.queues)):
        get_logger().warning(
            "queue_not_served",
            queue=queue,
            handlers=sorted(name for name in handlers if handlers[name] == queue),
            next="their pushes go there; serve it here (-q, or `queues` of the Config), or in another process",
        )


def _of_classes_without_handler(client: redis.Redis, config: Config, handlers: Mapping[str, str]) -> None:
    known = {name.removeprefix("::") for name in handlers}
    for found in waiting.without_handler(client, config.queues, lambda name: name.removeprefix("::") in known):
        near = next(filter(None, (did_you_mean(name, known, cutoff=SLIP) for name in found.classes)), "")
        get_logger().warning(
            "waiting_without_handler",
            queue=found.queue,
            classes=dict(found.classes),
            next=f"{FATES[config.foreign]}{near}",
        )

"""A worker and a client that works with Ruby Sidekiq: the same Redis, queues, retries and dashboards."""

import typing

from pykiq import errors, names, namesake
from pykiq.errors import Discard, Kill, Snooze
from pykiq.version import __version__

if typing.TYPE_CHECKING:
    from pykiq import activejob
    from pykiq.client.aio import AsyncClient
    from pykiq.client.carrying import carry
    from pykiq.client.configure import configure
    from pykiq.client.sync import Client
    from pykiq.config import Config
    from pykiq.embedding import embed
    from pykiq.jobs.context import JobContext, current_job
    from pykiq.jobs.declare import job, remote
    from pykiq.jobs.hooks import DISCARD, KILL
    from pykiq.jobs.jobclass import Job
    from pykiq.jobs.lifecycle import death_handler, error_handler, on
    from pykiq.middleware.chain import client_middleware, server_middleware
else:

    def __getattr__(name):
        value = globals()[name] = names.load(name)
        return value

    def __dir__():
        return sorted({*globals(), *__all__})


namesake.warn()

__all__ = [
    "DISCARD",
    "KILL",
    "AsyncClient",
    "Client",
    "Config",
    "Discard",
    "Job",
    "JobContext",
    "Kill",
    "Snooze",
    "__version__",
    "activejob",
    "carry",
    "client_middleware",
    "configure",
    "current_job",
    "death_handler",
    "embed",
    "error_handler",
    "errors",
    "job",
    "on",
    "remote",
    "server_middleware",
]

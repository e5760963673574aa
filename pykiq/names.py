"""Where the public names are that `import pykiq` does not load: each is loaded when it is used.

Nearly all of them need redis-py, which takes longer to load than all of pykiq; `pykiq --help` needs none.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

PLACES = {
    "DISCARD": "pykiq.jobs.hooks",
    "KILL": "pykiq.jobs.hooks",
    "AsyncClient": "pykiq.client.aio",
    "Client": "pykiq.client.sync",
    "Config": "pykiq.config",
    "Job": "pykiq.jobs.jobclass",
    "JobContext": "pykiq.jobs.context",
    "activejob": "pykiq.activejob",
    "carry": "pykiq.client.carrying",
    "client_middleware": "pykiq.middleware.chain",
    "configure": "pykiq.client.configure",
    "current_job": "pykiq.jobs.context",
    "death_handler": "pykiq.jobs.lifecycle",
    "embed": "pykiq.embedding",
    "error_handler": "pykiq.jobs.lifecycle",
    "job": "pykiq.jobs.declare",
    "on": "pykiq.jobs.lifecycle",
    "remote": "pykiq.jobs.declare",
    "server_middleware": "pykiq.middleware.chain",
}


def load(name: str) -> Any:
    """What is called so. Raises AttributeError for what is no public name."""
    place = PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'pykiq' has no attribute {name!r}")
    module = import_module(place)
    return module if place == f"pykiq.{name}" else getattr(module, name)


def load_all() -> None:
    """Have all of them in memory: a worker goes on when the files of its release are gone."""
    for place in PLACES.values():
        import_module(place)

"""Environment variables: the one table of those that are read, and the one function that reads them.

    REDIS_URL                            where Redis is
    REDIS_PROVIDER                       the NAME of another variable that holds the URL (Heroku's way)
    APP_ENV, RAILS_ENV, RACK_ENV         the environment, first one set
    RAILS_MAX_THREADS                    concurrency, when neither flag, variable nor file says it
    PYKIQ_CONFIG                         the sidekiq.yml to read
    PYKIQ_<SETTING>                      every other setting, `VARIABLES` below

An empty variable counts as not set: that is what compose files and charts leave behind. White space around a value is
taken away, above all the carriage return that a file written on Windows leaves at the end of each.

Kubernetes sets variables of its own for each Service. Those of one called `pykiq-metrics` begin with `PYKIQ_METRICS_`
and are no settings: `PYKIQ_METRICS_PORT=tcp://10.0.0.5:9394`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pykiq.config.settings import did_you_mean
from pykiq.errors import ConfigError

VARIABLES: Mapping[str, str] = {
    "PYKIQ_CONCURRENCY": "concurrency",
    "PYKIQ_QUEUES": "queues",
    "PYKIQ_REQUIRE": "require",
    "PYKIQ_TIMEOUT": "timeout",
    "PYKIQ_TAG": "tag",
    "PYKIQ_LABELS": "labels",
    "PYKIQ_WIRE": "wire",
    "PYKIQ_RAILS": "rails",
    "PYKIQ_FOREIGN": "foreign",
    "PYKIQ_STRICT_ARGS": "strict_args",
    "PYKIQ_MAX_RETRIES": "max_retries",
    "PYKIQ_DEAD_MAX_JOBS": "dead_max_jobs",
    "PYKIQ_DEAD_TIMEOUT": "dead_timeout",
    "PYKIQ_POLL_INTERVAL": "poll_interval",
    "PYKIQ_AVERAGE_SCHEDULED_POLL_INTERVAL": "average_scheduled_poll_interval",
    "PYKIQ_LOG_FORMAT": "log_format",
    "PYKIQ_LOG_LEVEL": "log_level",
    "PYKIQ_METRICS_PORT": "metrics_port",
    "PYKIQ_METRICS_HOST": "metrics_host",
    "PYKIQ_METRICS_MAX_CLASSES": "metrics_max_classes",
    "PYKIQ_PROCESSES": "processes",
    "PYKIQ_MAX_RSS": "max_rss",
    "PYKIQ_LEASE_TTL": "lease_ttl",
    "PYKIQ_SWEEP_INTERVAL": "sweep_interval",
}
SECTION_VARIABLES = ("APP_ENV", "RAILS_ENV", "RACK_ENV")
FILE_VARIABLE = "PYKIQ_CONFIG"

# A misspelt PYKIQ_ variable is refused only when it is nearly a real one: others may be an application's own.
_NEARLY = 0.86
_OF_KUBERNETES = re.compile(
    r"_SERVICE_HOST | _SERVICE_PORT(_\w+)? | _PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?", re.VERBOSE
)
_ADDRESS_OF_KUBERNETES = re.compile(r"(tcp|udp|sctp)://")


class Given(NamedTuple):
    """A value and the place it came from, as an error message names it."""

    value: object
    source: str


@dataclass(frozen=True, slots=True)
class Environment:
    """What the environment says. `variables` is the whole of it, which only sidekiq.yml's ERB looks into."""

    settings: Mapping[str, Given]
    fallbacks: Mapping[str, Given]
    section: Given | None
    file: Given | None
    variables: Mapping[str, str] = field(repr=False)


def read_environment(variables: Mapping[str, str] | None = None) -> Environment:
    """Read every variable pykiq knows, from `variables` or from the process's environment as it is now.

    Raises:
        ConfigError: REDIS_PROVIDER is not the name of a variable that is set, or a PYKIQ_ variable is misspelt.
    """
    given = os.environ if variables is None else variables
    known = {name: value.strip() for name, value in given.items() if not _is_of_kubernetes(name, value)}
    settings = {setting: Given(known[name], name) for name, setting in VARIABLES.items() if known.get(name)}
    redis = _redis(known)
    if redis is not None:
        settings["redis"] = redis
    _refuse_misspelt(known)
    sections = [Given(known[name], name) for name in SECTION_VARIABLES if known.get(name)]
    threads = known.get("RAILS_MAX_THREADS")
    file = known.get(FILE_VARIABLE)
    return Environment(
        settings=settings,
        fallbacks={"concurrency": Given(threads, "RAILS_MAX_THREADS")} if threads else {},
        section=sections[0] if sections else None,
        file=Given(file, FILE_VARIABLE) if file else None,
        variables=known,
    )


def _is_of_kubernetes(name: str, value: str) -> bool:
    """Whether it tells where a Service is: `X_SERVICE_HOST`, `X_PORT=tcp://…`, `X_PORT_80_TCP_ADDR` and their like."""
    if not name.startswith("PYKIQ"):
        return False
    return bool(_OF_KUBERNETES.search(name)) or (
        name.endswith("_PORT") and bool(_ADDRESS_OF_KUBERNETES.match(value.strip()))
    )


def _redis(known: Mapping[str, str]) -> Given | None:
    provider = known.get("REDIS_PROVIDER")
    if not provider:
        url = known.get("REDIS_URL")
        return Given(url, "REDIS_URL") if url else None
    if ":" in provider:
        # Not shown: it is a URL, and may hold a password.
        raise ConfigError(
            "REDIS_PROVIDER holds a URL; expected the name of the variable that holds it, such as REDIS_URL"
        )
    url = known.get(provider)
    if not url:
        near = did_you_mean(provider, (name for name in known if name.endswith("URL")))
        raise ConfigError(
            f"REDIS_PROVIDER names {provider}, which is not set{near or '; set it or unset REDIS_PROVIDER'}"
        )
    return Given(url, provider)


def _refuse_misspelt(known: Mapping[str, str]) -> None:
    valid = (*VARIABLES, FILE_VARIABLE)
    for name in known:
        if not name.startswith("PYKIQ_") or name in valid:
            continue
        if name in {"PYKIQ_REDIS", "PYKIQ_REDIS_URL"}:
            raise ConfigError(f"{name} is not read; did you mean REDIS_URL?")
        near = did_you_mean(name, valid, cutoff=_NEARLY)
        if near:
            raise ConfigError(f"{name} is not a setting{near}")

"""Config: all settings of a process, frozen and checked once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from pykiq.config.capsule import (
    DEFAULT_CAPSULE,
    DEFAULT_CONCURRENCY,
    DEFAULT_QUEUES,
    Capsule,
    capsules_rule,
    concurrency_rule,
    queues_rule,
)
from pykiq.config.redis_url import parse
from pykiq.config.settings import (
    Refused,
    Rule,
    boolean,
    checked,
    choice,
    did_you_mean,
    filled_text,
    optional,
    seconds,
    text,
    texts,
    whole,
)
from pykiq.errors import ConfigError

DEFAULT_REDIS = "redis://localhost:6379/0"


def redis_rule(value: object) -> str:
    """A Redis URL. What is refused is shown without anything that may be a password."""
    if not isinstance(value, str):
        raise Refused("a URL like redis://host:6379/0")
    url = value.strip()
    if any(character.isspace() for character in url):
        raise Refused("a URL without spaces; written as %20 in a password", given="a URL with a space in it")
    parse(url)
    return url


def _all_capsules(value: object) -> tuple[Capsule, ...]:
    capsules: tuple[Capsule, ...] = capsules_rule(value)
    if not capsules:
        raise Refused("at least one capsule")
    return capsules


def _extra(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Refused("a mapping")
    return dict(value)  # a plain one: a Config travels to spawned processes by pickle


def _rule(rule: Rule) -> dict[str, Rule]:
    return {"rule": rule}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything a client or a worker needs to know. Build it with `Config.of(...)`; times are in seconds.

    Raises:
        ConfigError: at construction, for a value that cannot be used.
    """

    redis: str = field(default=DEFAULT_REDIS, metadata=_rule(redis_rule))
    """Where Redis is; `pykiq.config.redis_url` lists the forms."""
    capsules: tuple[Capsule, ...] = field(default=(Capsule(),), metadata=_rule(_all_capsules))
    """The pools of slots, the one called `default` first."""
    environment: str = field(default="development", metadata=_rule(filled_text))
    """Which section of sidekiq.yml applies: production, staging and so on."""
    timeout: float = field(default=25.0, metadata=_rule(seconds))
    """How long a stopping worker waits for running jobs."""
    tag: str = field(default="", metadata=_rule(text))
    """Shown beside the process on the dashboards."""
    labels: tuple[str, ...] = field(default=(), metadata=_rule(texts))
    """Shown beside the process on the dashboards."""
    wire: str = field(default="auto", metadata=_rule(choice("auto", "8", "7", "6")))
    """Whose dialect is written; auto mirrors the job and the Ruby processes seen."""
    rails: str = field(default="auto", metadata=_rule(choice("auto", "7.2", "6.1")))
    """Whose job data ActiveJobs are pushed with; auto is 6.1's beside Sidekiq 6 and 7.2's beside later ones."""
    max_retries: int = field(default=25, metadata=_rule(whole(0)))
    """Attempts after the first, for `retry: true`."""
    dead_max_jobs: int = field(default=10_000, metadata=_rule(whole(1)))
    """The dead set is trimmed to this many entries."""
    dead_timeout: float = field(default=15_552_000.0, metadata=_rule(seconds))
    """Entries of the dead set older than this are trimmed."""
    poll_interval: float | None = field(default=None, metadata=_rule(optional(seconds)))
    """Longest wait of the process that looks at the sorted sets; never above `sweep_interval`, ended by what is due."""
    average_scheduled_poll_interval: float = field(default=5.0, metadata=_rule(seconds))
    """The same when `poll_interval` is None."""
    foreign: str = field(default="leave", metadata=_rule(choice("leave", "retry", "dead")))
    """What becomes of a job whose class has no handler here."""
    strict_args: bool = field(default=True, metadata=_rule(boolean))
    """Refuse arguments that JSON would change, when pushing."""
    log_format: str = field(default="auto", metadata=_rule(choice("auto", "json", "pretty")))
    """auto is pretty on a terminal and JSON elsewhere."""
    log_level: str = field(default="info", metadata=_rule(choice("debug", "info", "warning", "error", "critical")))
    """Nothing below this level is logged."""
    metrics_port: int | None = field(default=None, metadata=_rule(optional(whole(0, 65535))))
    """Where Prometheus finds /metrics; None serves nothing, 0 takes any free port."""
    metrics_max_classes: int = field(default=200, metadata=_rule(whole(1)))
    """How many classes, and how many queues, get a label of their own; later ones share `other`."""
    metrics_host: str = field(default="0.0.0.0", metadata=_rule(filled_text))
    """The address the metrics are served at; all of IPv4 by default: scrapers are usually elsewhere."""
    require: tuple[str, ...] = field(default=(), metadata=_rule(texts))
    """Modules, packages and files that declare the handlers."""
    processes: int | None = field(default=None, metadata=_rule(optional(whole(1, 1000))))
    """Children to run under one parent; None: this process does the work, without a parent."""
    max_rss: int | None = field(default=None, metadata=_rule(optional(whole(1))))
    """MB of resident memory beyond which a child is replaced after its current jobs; one child unless `processes`."""
    lease_ttl: float = field(default=12.0, metadata=_rule(seconds))
    """Seconds after which a process that has ended counts as dead: its jobs are taken over. Six times that after which
    a frozen one without a parent does."""
    sweep_interval: float = field(default=4.0, metadata=_rule(seconds))
    """Seconds between looks for dead processes."""
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False, metadata=_rule(_extra))
    """Keys of sidekiq.yml that pykiq has no use for, as they were."""

    def __post_init__(self) -> None:
        for known in fields(self):
            value = checked(known.metadata["rule"], getattr(self, known.name), f"`{known.name}`")
            object.__setattr__(self, known.name, value)
        names = [capsule.name for capsule in self.capsules]
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated is not None:
            raise ConfigError(f"two capsules are called `{repeated}`; expected a name of its own for each")
        if self.lease_ttl <= self.sweep_interval:
            raise ConfigError(
                f"`lease_ttl` is {self.lease_ttl:g} and `sweep_interval` {self.sweep_interval:g}; "
                "expected a lease that outlives a sweep, else live processes are taken for dead"
            )

    @classmethod
    def of(
        cls,
        *,
        queues: Iterable[object] | Mapping[str, object] | str | None = None,
        concurrency: int | None = None,
        **settings: Any,
    ) -> Config:
        """A Config out of plain values: `Config.of(queues=["critical,6", ("low", 1)], concurrency=10, timeout=5)`.

        `queues` and `concurrency` shape the capsule `default`; `capsules` adds others to it, as Capsule objects or as
        `{name: {"concurrency": n, "queues": […]}}`; one called `default` among them replaces it.

        Raises:
            ConfigError: an unknown name, with the nearest valid one, or a value that cannot be used.
        """
        for name in settings:
            if name not in RULES:
                near = did_you_mean(name, RULES)
                raise ConfigError(f"`{name}` is not a setting{near or '; Config lists them'}")
        if queues is not None and not isinstance(queues, (str, Mapping)):
            queues = list(queues)
        default = Capsule(
            DEFAULT_CAPSULE,
            DEFAULT_CONCURRENCY if concurrency is None else checked(concurrency_rule, concurrency, "`concurrency`"),
            DEFAULT_QUEUES if queues is None else checked(queues_rule, queues, "`queues`"),
        )
        named = checked(capsules_rule, settings.pop("capsules", ()), "`capsules`")
        if not any(capsule.name == DEFAULT_CAPSULE for capsule in named):
            named = (default, *named)
        elif queues is not None or concurrency is not None:
            raise ConfigError(
                "`queues` or `concurrency` is given beside a capsule called `default`; expected one or the other"
            )
        return cls(capsules=named, **settings)

    @property
    def concurrency(self) -> int:
        """Slots of all capsules together."""
        return sum(capsule.concurrency for capsule in self.capsules)

    @property
    def queues(self) -> tuple[str, ...]:
        """Every queue of every capsule, each once."""
        return tuple(dict.fromkeys(name for capsule in self.capsules for name in capsule.names))

    @property
    def redis_shown(self) -> str:
        """The Redis URL as logs and errors may show it: without its password."""
        return parse(self.redis).shown

    def __repr__(self) -> str:
        parts = [
            f"redis={self.redis_shown!r}" if known.name == "redis" else f"{known.name}={getattr(self, known.name)!r}"
            for known in fields(self)
            if known.name != "extra"  # sidekiq.yml may hold anything, secrets too
        ]
        return f"Config({', '.join(parts)})"


RULES: Mapping[str, Rule] = MappingProxyType(
    {known.name: known.metadata["rule"] for known in fields(Config)}
    | {"queues": queues_rule, "concurrency": concurrency_rule}
)
"""The rule of every setting that `Config.of` takes."""

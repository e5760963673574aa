"""Capsule: one pool of slots and the queues it serves; and every way in which queues are written down."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pykiq.config.settings import Refused, checked, did_you_mean, shown, utf8, whole
from pykiq.errors import ConfigError

Mode = Literal["strict", "weighted", "random"]
Queue = tuple[str, int]

DEFAULT_CAPSULE = "default"
DEFAULT_CONCURRENCY = 10
DEFAULT_QUEUES: tuple[Queue, ...] = (("default", 0),)
MAX_WEIGHT = 10_000  # a weight is a number of tickets in a list that Ruby shuffles for every fetch

_weight = whole(0, MAX_WEIGHT)
concurrency_rule = whole(1, 10_000)


@dataclass(frozen=True, slots=True)
class Capsule:
    """A pool of `concurrency` slots with its own queues and its own order among them (WIRE.md §5).

    `queues` are (name, weight) as written, repetitions included; weight 0 means that none was given.
    """

    name: str = DEFAULT_CAPSULE
    concurrency: int = DEFAULT_CONCURRENCY
    queues: tuple[Queue, ...] = DEFAULT_QUEUES

    def __post_init__(self) -> None:
        where = "" if self.name == DEFAULT_CAPSULE else f" of capsule `{self.name}`"
        checked(concurrency_rule, self.concurrency, f"`concurrency`{where}")
        object.__setattr__(self, "queues", checked(queues_rule, self.queues, f"`queues`{where}"))

    @property
    def mode(self) -> Mode:
        """strict: as written, every time; random and weighted: shuffled for every claim, by equal or given weights."""
        weights = dict(self.queues).values()
        if not any(weights):
            return "strict"
        return "random" if all(weight == 1 for weight in weights) else "weighted"

    @property
    def names(self) -> tuple[str, ...]:
        """Each queue once, in the order written."""
        return tuple(dict.fromkeys(name for name, _ in self.queues))

    @property
    def tickets(self) -> tuple[str, ...]:
        """Each queue as often as it weighs, at least once: the list Ruby shuffles for every fetch."""
        return tuple(name for name, weight in self.queues for _ in range(max(weight, 1)))


def queue_rule(item: object) -> Queue:
    """One queue: `name`, `"name,weight"`, `[name]` or `[name, weight]` (WIRE.md §18)."""
    if isinstance(item, (list, tuple)):
        if not 1 <= len(item) <= 2:
            raise Refused("a queue as name or [name, weight]")
        name, weight = _name(item[0]), item[1] if len(item) == 2 else 0
    else:
        name, comma, weight = _name(item).partition(",")
        name, weight = name.strip(), weight if comma else 0
    if not name:
        raise Refused("a queue with a name")
    try:
        return name, _weight(weight)
    except Refused as refused:
        raise Refused(f"{refused}, as the weight of queue `{name}`", given=shown(weight)) from None


def queues_rule(value: object) -> tuple[Queue, ...]:
    """All queues of a capsule: a list of queues, a mapping of name to weight, or one name.

    A mapping inside the list (`- critical: 3`) is refused: Ruby takes it for a queue whose name is the mapping's
    printed form and never serves `critical` (capture cli_and_yaml_config, hash_items.yml).
    """
    if isinstance(value, str):
        # A variable or a single YAML scalar: `critical,6 default low`.
        items: Iterable[object] = value.split()
    elif isinstance(value, Mapping):
        items = [[name, weight] for name, weight in value.items()]
    elif isinstance(value, (list, tuple)):
        items = value
    elif isinstance(value, (int, bool)):
        items = [value]
    else:
        raise Refused("a list of queues")
    queues = tuple(queue_rule(item) for item in items)
    if not queues:
        raise Refused("at least one queue")
    return queues


def capsules_rule(value: object) -> tuple[Capsule, ...]:
    """More capsules: Capsule objects, or a mapping of name to {concurrency, queues}."""
    if isinstance(value, Mapping):
        return tuple(capsule_from(str(name), options) for name, options in value.items())
    if isinstance(value, (list, tuple)) and all(isinstance(item, Capsule) for item in value):
        return tuple(value)
    raise Refused("a mapping of names to {concurrency, queues}")


def capsule_from(name: str, options: object, source: str = "") -> Capsule:
    """One capsule out of a mapping. Each needs its own concurrency: Ruby cannot start with one that has none.

    Raises:
        ConfigError: an unknown option, or a value that is refused; it begins with `source`.
    """
    prefix = f"{source}capsule `{name}`"
    if not isinstance(options, Mapping):
        raise ConfigError(f"{prefix} is {shown(options)}; expected a mapping with concurrency and queues")
    known: dict[str, Any] = {str(key): value for key, value in options.items()}
    for key in known:
        if key not in {"concurrency", "queues"}:
            near = did_you_mean(key, ("concurrency", "queues"))
            raise ConfigError(f"{prefix} has an unknown option `{key}`{near or '; it takes concurrency and queues'}")
    if known.get("concurrency") is None:
        raise ConfigError(f"{prefix} has no concurrency; give it a whole number, 1 or more, of its own")
    return Capsule(
        name=name,
        concurrency=checked(concurrency_rule, known["concurrency"], f"{prefix}: concurrency"),
        queues=checked(queues_rule, known.get("queues") or DEFAULT_QUEUES, f"{prefix}: queues"),
    )


def _name(value: object) -> str:
    """A queue's name as text. Ruby takes 1 and true for the queues `1` and `true`; so do we."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return utf8(value.strip())
    if isinstance(value, Mapping):
        example = ", ".join(f"{name}: {'' if weight is None else weight}" for name, weight in list(value.items())[:1])
        raise Refused(
            "a queue as name or [name, weight]; a list of mappings gives garbage names in Ruby too",
            given=f"the mapping {{{example}}}" if re.fullmatch(r"[\w: ,.-]+", example) else "a mapping",
        )
    raise Refused("a queue as name or [name, weight]")

"""What docs/metrics.md and docs/redis-keys.md promise is what the code does."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import redis as redis_py

from pykiq.observe.backlog import Backlog
from pykiq.observe.board import Board
from pykiq.observe.merged import Merged
from pykiq.observe.prometheus import Metrics
from pykiq.records import Fate
from pykiq.wire import keys, metrics

DOCS = Path(__file__).parents[2] / "docs"


def first_column(document: str, heading: str = "") -> set[str]:
    """Every name in backquotes in the first column of the document's tables, or of those headed `heading` there."""
    tables = re.findall(rf"^\| {heading}.*\n\| ---.*\n((?:\|.*\n)+)", (DOCS / document).read_text(), re.MULTILINE)
    rows = re.findall(r"^\| (`[^|]*) \|", "".join(tables), re.MULTILINE)
    return {name for row in rows for name in re.findall("`([^`]+)`", row)}


def test_every_metric_is_documented_with_its_type_and_labels(redis: redis_py.Redis) -> None:
    one = Metrics(
        concurrency=1, busy=lambda: 0, in_flight=lambda: 0, quiet=lambda: False, backlog=Backlog(lambda: redis, ["low"])
    )
    many = Merged(Board(1), concurrency=1, backlog=Backlog(lambda: redis, ["low"]))
    single, exposed = (
        {
            family.name + ("_total" if family.type == "counter" else ""): (
                family.type,
                family._labelnames,  # type: ignore[attr-defined]
            )
            for family in made.registry.collect()
        }
        for made in (one, many)
    )
    assert single.items() <= exposed.items(), "a swarm tells everything that one process tells"
    rows = re.findall(r"^\| `(pykiq_\w+)` \| (\w+) \| ([^|]*)\|", (DOCS / "metrics.md").read_text(), re.MULTILINE)
    assert {name: (kind, tuple(re.findall("`(.+?)`", labels))) for name, kind, labels in rows} == exposed


def test_the_keys_of_the_metrics_page_are_documented() -> None:
    section = (DOCS / "redis-keys.md").read_text().partition("## For the Metrics page")[2]
    then = datetime(2026, 11, 22, 2, 5, tzinfo=UTC).timestamp()
    known = [(generation, key) for generation in metrics.GENERATIONS for key, _ in metrics.counters(generation, then)]
    known += [(generation, metrics.histogram(generation, "Ns::Job", then)) for generation in metrics.GENERATIONS]
    versions = {"7.3": 7, "8.1": 8}
    told = re.findall(r"^- `(.+?)` \((.+?)\)", section, re.MULTILINE)
    assert sorted((versions[version], key) for key, version in told) == sorted(known)
    assert f"`{metrics.marks(then)[0]}`" in section
    assert f"`{metrics.mark_lock('<label>')}`" in section


def test_every_outcome_is_documented() -> None:
    names = {name for name in first_column("metrics.md") if not name.startswith(("pykiq_", "/"))}
    assert names == {fate.value for fate in Fate}


def test_every_key_is_documented() -> None:
    sample: dict[str, Callable[[], str]] = {
        "queue": lambda: keys.queue("<name>"),
        "process": lambda: keys.process("<identity>"),
        "work": lambda: keys.work("<identity>"),
        "workers": lambda: keys.workers("<identity>"),
        "signals": lambda: keys.signals("<identity>"),
        "stat_processed": lambda: keys.stat_processed("YYYY-MM-DD"),
        "stat_failed": lambda: keys.stat_failed("YYYY-MM-DD"),
        "inflight": lambda: keys.inflight("<identity>", "<queue>"),
        "lease": lambda: keys.lease("<identity>"),
        "standing": lambda: keys.standing("<identity>"),
        "backlog": lambda: keys.backlog("<queues>"),
        "backlog_reader": lambda: keys.backlog_reader("<queues>"),
        "takeovers": lambda: keys.takeovers("<jid>", "<digest>"),
    }
    functions = {
        name for name, value in vars(keys).items() if callable(value) and value.__module__ == keys.__name__
    } - {"raw", "utc_day", "owner_and_queue"}
    assert functions == set(sample)
    constants = {value for name, value in vars(keys).items() if name.isupper() and isinstance(value, str)}
    assert first_column("redis-keys.md", "key") == constants | {make() for make in sample.values()}

"""`pykiq stats`: the numbers of the dashboard, as a table or as JSON."""

from __future__ import annotations

import time
from typing import Any

import click

from pykiq.cli.options import HELP, connection_options, loaded
from pykiq.cli.output import say, strict_json
from pykiq.cli.queues import queue_table
from pykiq.cli.table import output_width
from pykiq.store import stats as store
from pykiq.store.connected import connected


@click.command(context_settings=HELP)
@connection_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def stats(as_json: bool, **parameters: Any) -> None:
    """Show counters, sets, queues and processes."""
    with connected(loaded(parameters).config) as client:
        numbers = store.read(client, time.time())
    say(strict_json(numbers.as_dict()) if as_json else shown(numbers, output_width()))


def shown(numbers: store.Stats, width: int | None) -> str:
    """The same numbers for people: totals first, then one line per queue."""
    values = numbers.as_dict()
    lines = [f"{name:<12}{values[name]:>12,}" for name in values if name not in ("queues", "unreadable")]
    lines += [f"unreadable  {key}: a key of another type" for key in numbers.unreadable]
    return "\n".join(lines + (["", queue_table(numbers.queues, width)] if numbers.queues else []))

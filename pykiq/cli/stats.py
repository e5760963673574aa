"""`pykiq stats`: the numbers of the dashboard, as a table or as JSON."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from pykiq.cli.connected import connected
from pykiq.cli.options import HELP, connection_options, loaded
from pykiq.store import stats as store


@click.command(context_settings=HELP)
@connection_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def stats(as_json: bool, **parameters: Any) -> None:
    """Show counters, sets, queues and processes."""
    with connected(loaded(parameters).config) as client:
        numbers = store.read(client, time.time())
    click.echo(json.dumps(numbers.as_dict()) if as_json else table(numbers))


def table(numbers: store.Stats) -> str:
    """The same numbers for people: totals first, then one line per queue."""
    values = numbers.as_dict()
    lines = [f"{name:<12}{values[name]:>12,}" for name in values if name != "queues"]
    if numbers.queues:
        width = max(len("queue"), *(len(_printable(queue.name)) for queue in numbers.queues))
        lines += ["", f"{'queue':<{width}}{'size':>12}{'latency':>14}"]
        lines += [
            f"{_printable(queue.name):<{width}}{queue.size:>12,}{f'{queue.latency:,.1f} s':>14}"
            for queue in numbers.queues
        ]
    return "\n".join(lines)


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)

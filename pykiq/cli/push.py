"""`pykiq push`: one job into a queue, from a shell."""

from __future__ import annotations

import time
from typing import Any

import click

from pykiq.cli.connected import connected
from pykiq.cli.options import HELP, connection_options, loaded
from pykiq.cli.times import when
from pykiq.client.sync import Client
from pykiq.config.settings import shown
from pykiq.errors import ConfigError, Unreadable
from pykiq.wire.exactjson import loads


@click.command(context_settings=HELP)
@click.argument("job_class", metavar="CLASS")
@click.argument("arguments", metavar="[JSON-ARGS]", default="[]")
@click.option("-q", "--queue", "push_queue", metavar="QUEUE", help="Into this queue; `default` otherwise.")
@click.option("--in", "delay", metavar="SECONDS", help="Not before that many seconds from now.")
@click.option(
    "--at", "moment", metavar="TIME", help="Not before then: epoch seconds, or ISO 8601 (UTC without an offset)."
)
@connection_options
def push(
    job_class: str,
    arguments: str,
    push_queue: str | None,
    delay: str | None,
    moment: str | None,
    **parameters: Any,
) -> None:
    """Push one job and print its jid. JSON-ARGS is an array: pykiq push HardJob '[42, "x"]'."""
    item: dict[str, Any] = {"class": job_class, "args": parsed_arguments(arguments)}
    if push_queue is not None:
        item["queue"] = push_queue
    due = when(delay, moment, time.time())
    if due is not None:
        item["at"] = due
    config = loaded(parameters).config
    with connected(config) as connection, Client(config, redis=connection) as client:
        jid = client.push(item)
    if jid is None:
        raise click.ClickException(f"a client middleware stopped {job_class}: nothing was pushed")
    click.echo(jid)


def parsed_arguments(text: str) -> list[Any]:
    """The job's arguments out of the command line's text. Raises ConfigError unless it is a JSON array."""
    example = """an array such as '[42, "x"]' (in quotes, so that the shell leaves it alone)"""
    try:
        value = loads(text.encode("utf-8", "surrogateescape"))
    except Unreadable as error:
        reason = str(error).partition(": ")[2] or str(error)
        raise ConfigError(f"JSON-ARGS is {shown(text)}, which is not JSON ({reason}); expected {example}") from None
    if not isinstance(value, list):
        raise ConfigError(f"JSON-ARGS is {shown(text)}; expected {example}")
    return value

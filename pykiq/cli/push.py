"""`pykiq push`: its flags. What it does with them is loaded when it does."""

from __future__ import annotations

from typing import Any, BinaryIO

import click

from pykiq.cli.options import HELP, connection_options


@click.command(context_settings=HELP)
@click.argument("job_class", metavar="CLASS")
@click.argument("arguments", metavar="[JSON-ARGS]", required=False)
@click.option(
    "--each", "lines", type=click.File("rb"), metavar="FILE", help="A job for each line, its JSON-ARGS; - reads them."
)
@click.option(
    "-r", "--require", multiple=True, metavar="MODULE", help="Load handlers, to push with their options; repeatable."
)
@click.option("-q", "--queue", "push_queue", metavar="QUEUE", help="Into this queue; the handler's, or default.")
@click.option("--retry", metavar="N", help="How often to retry: true, false or a number.")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="Another option, as JSON or text; repeatable.")
@click.option("--in", "delay", metavar="LENGTH", help="Not before then: seconds from now, or 15m, 2h, 3d.")
@click.option(
    "--at", "moment", metavar="TIME", help="Not before then: epoch seconds, or ISO 8601 (UTC without an offset)."
)
@connection_options
def push(
    job_class: str,
    arguments: str | None,
    lines: BinaryIO | None,
    push_queue: str | None,
    retry: str | None,
    pairs: tuple[str, ...],
    delay: str | None,
    moment: str | None,
    **parameters: Any,
) -> None:
    """Push one job and print its jid. JSON-ARGS is an array: pykiq push HardJob '[42, "x"]'.

    With --require, or `require` in the configuration, a class that has a handler there is pushed with its options.
    """
    from pykiq.cli.pushing import (
        push_jobs,
    )  # with all that talks to Redis, which takes longer than to print a help text

    push_jobs(job_class, arguments, lines, push_queue, retry, pairs, delay, moment, parameters)

"""What `pykiq push` does: one job into a queue, or one for every line of a file."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

import click

from pykiq.cli.each import push_each
from pykiq.cli.options import loaded, one_queue
from pykiq.cli.output import say
from pykiq.cli.progress import progress
from pykiq.cli.push_options import class_of, options_of
from pykiq.cli.times import when
from pykiq.client.sync import Client
from pykiq.config.settings import checked, shown, text
from pykiq.errors import ConfigError, Unreadable
from pykiq.store.connected import connected
from pykiq.wire.exactjson import loads


def push_jobs(
    job_class: str,
    arguments: str | None,
    lines: BinaryIO | None,
    push_queue: str | None,
    retry: str | None,
    pairs: tuple[str, ...],
    delay: str | None,
    moment: str | None,
    parameters: dict[str, Any],
) -> None:
    """Push, and print the jid or how many. The parameters are the values of the flags as text.

    Raises:
        ConfigError, PayloadError: a flag or an argument that cannot be; of several jobs, those before are pushed.
    """
    if lines is not None and arguments is not None:
        raise ConfigError("JSON-ARGS and --each are both given; expected one of them")
    args = parsed_arguments(arguments or "[]")
    due = when(delay, moment, time.time())
    settings = loaded(parameters)
    if settings.config.require:
        from pykiq.cli.run import load_handlers  # with all that runs them

        settings = load_handlers(settings, Path.cwd())
    known, check = class_of(job_class)
    queue = None if push_queue is None else checked(text, one_queue(push_queue, repeatable=False), "--queue")
    options = options_of(queue, retry, pairs, runs_here=not isinstance(known, str))
    if lines is None:
        check(args)
    item: dict[str, Any] = {**options, "class": known, "args": args, **({} if due is None else {"at": due})}
    config = settings.config
    with connected(config) as connection, Client(config, redis=connection) as client:
        if lines is not None:
            with closing(progress(lines, _length(lines), "push")) as read:
                pushed = sum(push_each(client, item, read, check))
            say(f"pushed {pushed:,}")
            return
        jid = client.push(item)
    if jid is None:
        raise click.ClickException(f"a client middleware stopped {job_class}: nothing was pushed")
    say(jid)


def _length(lines: BinaryIO) -> int | None:
    """How many lines there are; None when that cannot be told before they have been read."""
    if not lines.seekable():
        return None
    count = sum(1 for _ in lines)
    lines.seek(0)
    return count


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

"""`pykiq push CLASS --each FILE`: one job per line of a file, however long it is."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from pykiq.client.sync import Client
from pykiq.config.settings import shown
from pykiq.errors import ConfigError, PayloadError, Unreadable
from pykiq.wire.exactjson import loads

BATCH = 1000  # lines read, checked and pushed in one go


def push_each(
    client: Client,
    item: Mapping[str, Any],
    lines: Iterable[bytes],
    check: Callable[[Sequence[Any]], None] = lambda args: None,
) -> Iterator[int]:
    """Push a job like `item` for every line, whose JSON array is its arguments; yields how many of each batch.

    Empty lines are passed over. `check` raises PayloadError for arguments that the handler cannot take. Raises
    ConfigError for a line that cannot be a job: it says which, and how many jobs before it are pushed.
    """
    numbered = ((number, line) for number, line in enumerate(_without_mark(lines), 1) if line.strip())
    pushed = 0
    while batch := list(islice(numbered, BATCH)):
        arguments = [_arguments(number, line, pushed) for number, line in batch]
        try:
            for args in arguments:
                check(args)
            jids = client.push_bulk({**item, "args": arguments})
        except PayloadError as error:
            raise type(error)(f"in lines {batch[0][0]} to {batch[-1][0]}: {error}; {_so_far(pushed)}") from None
        pushed += sum(jid is not None for jid in jids)
        yield len(batch)


def _without_mark(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines, without the byte order mark that a file written on Windows begins with."""
    rest = iter(lines)
    for first in rest:
        yield first.removeprefix(BOM_UTF8)
        yield from rest


def _arguments(number: int, line: bytes, pushed: int) -> list[Any]:
    try:
        value = loads(line.strip())
    except Unreadable as error:
        value = error
    if isinstance(value, list):
        return value
    text = shown(line.decode("utf-8", "replace").strip()[:80])
    raise ConfigError(f"line {number} is {text}; expected a JSON array of arguments; {_so_far(pushed)}")


def _so_far(pushed: int) -> str:
    return f"{pushed:,} jobs before are pushed"

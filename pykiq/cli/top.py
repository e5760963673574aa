"""`pykiq top`: the fleet, live: looks at it every two seconds and draws it over what it has drawn before."""

from __future__ import annotations

import math
import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click
import redis

from pykiq.admin import ProcessSet, WorkSet
from pykiq.cli.frame import Look, frame, rates
from pykiq.cli.options import HELP, connection_options, loaded
from pykiq.cli.output import say
from pykiq.cli.screen import RESIZED, draw, screen, size
from pykiq.cli.table import span
from pykiq.client.sync import Client
from pykiq.errors import ConfigError
from pykiq.store import stats
from pykiq.store.connected import connected
from pykiq.store.demotion import Watch

WINDOW = 10.0  # seconds that rates are measured over: the rhythm of heartbeats, which bring the counters


@click.command(context_settings=HELP)
@click.option(
    "--interval", type=click.FloatRange(0.1, 3600), default=2.0, metavar="SECONDS", help="Between two looks; 2."
)
@click.option("--once", is_flag=True, help="Print one frame and end; needs no terminal.")
@connection_options
def top(interval: float, once: bool, **parameters: Any) -> None:
    """Watch queues, processes and running jobs. q ends it, any other key looks again at once."""
    if math.isnan(interval):
        raise ConfigError("--interval is nan; expected a number of seconds from 0.1 to 3600")
    config = loaded(parameters).config
    if not once and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("top draws on a terminal, and this is none; expected --once, or `pykiq stats --json`")
    with connected(config) as connection, Client(config, redis=connection) as client:
        if once:
            wide = shutil.get_terminal_size((120, 40))
            say("\n".join(_drawn([_look(client)], wide, config.redis_shown)))
            return
        server = Watch(connection)
        with screen() as key_within, suppress(KeyboardInterrupt):
            watch(lambda: _look(client, server), key_within, interval, config.redis_shown)


def watch(look: Callable[[], Look], key_within: Callable[[float], str], interval: float, place: str) -> None:
    """Look and draw until `q` is pressed. `key_within(seconds)` waits for a key and returns it, RESIZED, or nothing.

    While Redis does not answer, the last look stands, and says so: whoever watches a restart of Redis wants to see its
    end. Raises redis.RedisError when not even the first look succeeds.
    """
    looks: list[Look] = []
    while True:
        where = place
        try:
            now = look()
            looks = [one for one in looks if now.at - one.at < WINDOW] + [now]
            if now.replica:
                where = f"{place} (a replica: what it shows may be old)"
        except redis.RedisError as error:
            if not looks:
                raise
            where = f"no answer for {span(time.time() - looks[-1].at)}: {error}"
        due = time.monotonic() + interval
        key = RESIZED
        while key == RESIZED:
            draw(_drawn(looks, size(), where))
            key = key_within(max(0.0, due - time.monotonic()))
        if key in ("q", "Q"):
            return


def _drawn(looks: list[Look], room: os.terminal_size, place: str) -> list[str]:
    """The last of the looks, with the rates since the first."""
    return frame(looks[-1], rates(looks[0], looks[-1]), width=room.columns, height=room.lines, place=place)


def _look(client: Client, server: Watch | None = None) -> Look:
    replica = server is not None and not server.reads_master()
    now = time.time()
    return Look(now, stats.read(client.redis, now), list(ProcessSet(client)), list(WorkSet(client)), replica)

"""`pykiq top`: the fleet, live: looks at it every two seconds and draws it over what it has drawn before."""

from __future__ import annotations

import os
import select
import shutil
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click

from pykiq.admin import ProcessSet, WorkSet
from pykiq.cli.connected import connected
from pykiq.cli.frame import Look, frame, rates
from pykiq.cli.options import HELP, connection_options, loaded
from pykiq.client.sync import Client
from pykiq.errors import ConfigError
from pykiq.store import stats

WINDOW = 10.0  # seconds that rates are measured over: the rhythm of heartbeats, which bring the counters
_OTHER_SCREEN, _OWN_SCREEN = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


@click.command(context_settings=HELP)
@click.option(
    "--interval", type=click.FloatRange(0.1, 3600), default=2.0, metavar="SECONDS", help="Between two looks; 2."
)
@click.option("--once", is_flag=True, help="Print one frame and end; needs no terminal.")
@connection_options
def top(interval: float, once: bool, **parameters: Any) -> None:
    """Watch queues, processes and running jobs. q ends it."""
    config = loaded(parameters).config
    if not once and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("top draws on a terminal, and this is none; expected --once, or `pykiq stats --json`")
    with connected(config) as connection, Client(config, redis=connection) as client:
        if once:
            size = shutil.get_terminal_size((120, 40))
            click.echo("\n".join(_drawn(_look(client), [], size, config.redis_shown)))
            return
        with _screen() as key_within, suppress(KeyboardInterrupt):
            watch(lambda: _look(client), key_within, interval, config.redis_shown)


def watch(look: Callable[[], Look], key_within: Callable[[float], str], interval: float, place: str) -> None:
    """Look and draw until `q` is pressed. `key_within(seconds)` waits for a key and returns it, or nothing."""
    looks: list[Look] = []
    while True:
        now = look()
        lines = _drawn(now, looks, shutil.get_terminal_size(), place)
        # What is drawn stands until it is overwritten, so nothing flickers. Raw terminals need both ends of a line.
        sys.stdout.write(_HOME + "\r\n".join(line + _CLEAR_LINE for line in lines) + _CLEAR_BELOW)
        sys.stdout.flush()
        looks = [one for one in looks if now.at - one.at < WINDOW] + [now]
        if key_within(interval) in ("q", "Q"):
            return


def _drawn(now: Look, before: list[Look], size: os.terminal_size, place: str) -> list[str]:
    changed = rates(before[0] if before else None, now)
    return frame(now, changed, width=size.columns, height=size.lines, place=place)


def _look(client: Client) -> Look:
    now = time.time()
    return Look(now, stats.read(client.redis, now), list(ProcessSet(client)), list(WorkSet(client)))


@contextmanager
def _screen() -> Iterator[Callable[[float], str]]:
    """The terminal's other screen, with keys that come one by one; everything as it was afterwards."""
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)

    def key_within(seconds: float) -> str:
        ready, _, _ = select.select([keyboard], [], [], seconds)
        return (
            os.read(keyboard, 32).decode("utf-8", "replace")[:1] or "q" if ready else ""
        )  # no bytes: the terminal has gone

    try:
        tty.setcbreak(keyboard)
        sys.stdout.write(_OTHER_SCREEN)
        yield key_within
    finally:
        sys.stdout.write(_OWN_SCREEN)
        sys.stdout.flush()
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)

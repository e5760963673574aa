"""`pykiq mark`: a line in the charts of the Metrics page, where a deployment was."""

from __future__ import annotations

import subprocess
import time
from typing import Any

import click

from pykiq.cli.options import HELP, connection_options, loaded
from pykiq.cli.output import say
from pykiq.errors import ConfigError
from pykiq.store import marks
from pykiq.store.connected import connected
from pykiq.wire import metrics

GIT = ("git", "log", "-1", "--format=%h %s")  # what Ruby's Sidekiq::Deploy asks, too


@click.command(context_settings=HELP)
@click.argument("label", required=False)
@connection_options
def mark(label: str | None, **parameters: Any) -> None:
    """Mark this minute in the charts of the Metrics page; LABEL is the last commit of the directory unless given.

    May be called on every machine that is deployed to: the same label is marked once a minute.
    """
    label = (last_commit() if label is None else label).strip()
    if not label:
        raise ConfigError("LABEL is empty; expected a few words, such as a release's name")
    try:
        label.encode()
    except UnicodeEncodeError:
        raise ConfigError("LABEL is not UTF-8; expected a few words, such as a release's name") from None
    config, now = loaded(parameters).config, time.time()
    with connected(config) as client:
        is_new = marks.mark(client, label, now)
    minute = metrics.marks(now)[1]
    say(f"{minute} {label}" if is_new else f"{minute} is marked already; nothing was written")


def last_commit() -> str:
    """The commit this directory is at. Raises ConfigError."""
    try:
        return subprocess.run(GIT, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        raise ConfigError("no LABEL was given and git knows no commit here; expected `pykiq mark LABEL`") from None

"""`pykiq doctor`: what is wrong with a fleet and its Redis, and what to do about it.

Exit codes: 0 nothing is wrong (there may be remarks); 1 something is, or Redis does not answer; 2 bad usage.

    facts.py    everything that is looked at, read once
    checks.py   what it means: pure functions from facts to findings
    extensions.py   which gems have left keys here, and what pykiq makes of them
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pykiq.cli.doctor.checks import Finding, Level, findings
from pykiq.cli.doctor.facts import gather
from pykiq.cli.options import HELP, connection_options, loaded
from pykiq.cli.output import printable, say, strict_json
from pykiq.cli.require import load_all
from pykiq.cli.table import counted
from pykiq.client.configure import configure
from pykiq.jobs.registry import registry
from pykiq.store.connected import connected

_COLOURS = {Level.OK: "green", Level.REMARK: "cyan", Level.WARNING: "yellow", Level.ERROR: "red"}


@click.command(context_settings=HELP)
@click.option(
    "-r", "--require", multiple=True, metavar="MODULE", help="Load handlers, to tell which classes have none."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
@connection_options
def doctor(as_json: bool, require: tuple[str, ...], **parameters: Any) -> int:
    """Look for what is wrong with the fleet and its Redis. Changes nothing; exit code 1 when something is."""
    config = loaded(parameters).config
    if require:
        configure(config)
        load_all(require, Path.cwd(), lambda: len(registry))
    with connected(config) as connection:
        facts = gather(connection, config, handled=frozenset(registry.names()) if require else None)
    found = findings(facts)
    for one in found:
        if as_json:
            say(strict_json(one.as_dict()))
        else:
            say(shown(one), mark=click.style(f"{one.level.value:<8}", fg=_COLOURS[one.level]))
    wrong = sum(one.level in (Level.WARNING, Level.ERROR) for one in found)
    if not as_json:
        say(f"\n{wrong} of {counted(len(found), 'finding')} to be dealt with" if wrong else "\nnothing is wrong")
    return 1 if wrong else 0


def shown(finding: Finding) -> str:
    """A finding behind its mark in one line, and in a second one what to do about it."""
    advice = f"\n{'':8} → {printable(finding.advice)}" if finding.advice else ""
    return f" {printable(finding.text)}{advice}"

"""The command group, and how every error becomes one line and one exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

import click

from pykiq import namesake
from pykiq.cli.inherited import open_streams
from pykiq.cli.options import HELP, Group
from pykiq.cli.output import printable
from pykiq.errors import ConfigError, PayloadError, PykiqError, StoreError
from pykiq.version import __version__

STOPPED, FAILED, MISUSED = 0, 1, 2
UNREAD = 141  # what shells say of a program that SIGPIPE has ended: nobody reads its output any more

COMMANDS: Mapping[str, str] = {
    "run": "pykiq.cli.run:run",
    "push": "pykiq.cli.push:push",
    "stats": "pykiq.cli.stats:stats",
    "queues": "pykiq.cli.queues:queues",
    "pause": "pykiq.cli.queues:pause",
    "resume": "pykiq.cli.queues:resume",
    "job": "pykiq.cli.job:job",
    "retries": "pykiq.cli.jobs:retries",
    "scheduled": "pykiq.cli.jobs:scheduled",
    "dead": "pykiq.cli.jobs:dead",
    "processes": "pykiq.cli.fleet:processes",
    "busy": "pykiq.cli.fleet:busy",
    "quiet": "pykiq.cli.fleet:quiet",
    "stop": "pykiq.cli.fleet:stop",
    "top": "pykiq.cli.top:top",
    "doctor": "pykiq.cli.doctor:doctor",
    "stubs": "pykiq.cli.stubs:stubs",
    "mark": "pykiq.cli.mark:mark",
    "dev": "pykiq.cli.dev:dev",
}
"""Each subcommand and where it is: loaded when it is used, so that a worker does not pay for what draws tables."""


class _Group(Group):
    """The group that loads the subcommand it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run it, until nobody reads what it prints any more, as in `pykiq dead | head`."""
        try:
            code = super().invoke(ctx)
            with suppress(ValueError):  # a handler has closed it
                sys.stdout.flush()
        except BrokenPipeError:  # before click sees it, to which it is a failure
            # What is still in the buffer must not be tried once more, with a traceback, at the exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return UNREAD
        return code


@click.group(cls=_Group, invoke_without_command=True, context_settings=HELP)
@click.version_option(__version__, "-V", "--version", message="pykiq %(version)s")
@click.pass_context
def pykiq(ctx: click.Context) -> None:
    """Run and push jobs beside Ruby's Sidekiq, on the same Redis."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(MISUSED)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments` (the process's own by default) and return its exit code."""
    open_streams()
    if namesake.has_replaced_us():
        return _refuse(namesake.ADVICE, MISUSED)
    try:
        code = pykiq.main(None if arguments is None else list(arguments), prog_name="pykiq", standalone_mode=False)
    except OSError as error:  # standard output's, such as a full disk
        return _refuse(str(error), FAILED)
    except click.UsageError as error:
        return _refuse(_usage(error), MISUSED)
    except click.ClickException as error:
        return _refuse(error.format_message(), MISUSED)
    except (ConfigError, PayloadError) as error:
        return _refuse(str(error), MISUSED)
    except StoreError as error:
        return _refuse(str(error), FAILED)
    except PykiqError as error:
        return _refuse(str(error), FAILED)
    except click.Abort:
        return _refuse("interrupted", FAILED)
    return code if isinstance(code, int) else STOPPED


def _usage(error: click.UsageError) -> str:
    message = error.format_message().strip()
    command = error.ctx.command_path if error.ctx is not None else "pykiq"
    if isinstance(error, click.NoSuchOption):
        near = f"; did you mean {error.possibilities[0]}?" if error.possibilities else ""
        return f"`{command}` has no option {error.option_name}{near or f'; `{command} --help` lists them'}"
    message = message[:1].lower() + message[1:]
    if message.startswith("got unexpected extra argument") and error.ctx is not None and "require" in error.ctx.params:
        given = message.partition("(")[2].partition(")")[0].split()[0]
        meant = f"modules are given with --require {given}, queues with -q {given}"
        return f"`{command}` takes no arguments and was given {given}; {meant}"
    return message if ";" in message else f"{message.rstrip('.')}; see `{command} --help`"


def _refuse(message: str, code: int) -> int:
    print(f"pykiq: {printable(' '.join(message.splitlines()))}", file=sys.stderr)  # noqa: T201
    return code

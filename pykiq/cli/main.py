"""The command group, and how every error becomes one line and one exit code."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, NamedTuple

import click

from pykiq import namesake
from pykiq.cli.inherited import open_streams
from pykiq.cli.options import HELP, Group
from pykiq.cli.output import printable
from pykiq.errors import ConfigError, PayloadError, PykiqError, StoreError
from pykiq.version import __version__

STOPPED, FAILED, MISUSED = 0, 1, 2
UNREAD = 141  # what shells say of a program that SIGPIPE has ended: nobody reads its output any more


class Subcommand(NamedTuple):
    """Where it is, as `module:name`, and what `pykiq --help` says of it."""

    place: str
    summary: str


COMMANDS: Mapping[str, Subcommand] = {
    "run": Subcommand("pykiq.cli.run:run", "Run jobs until TERM, INT or Ctrl-C."),
    "push": Subcommand("pykiq.cli.push:push", "Push one job and print its jid."),
    "stats": Subcommand("pykiq.cli.stats:stats", "Show counters, sets, queues and processes."),
    "queues": Subcommand("pykiq.cli.queues:queues", "Show the queues, or the jobs of one; delete them."),
    "pause": Subcommand("pykiq.cli.queues:pause", "Let no more jobs be taken from queues; those that run go on."),
    "resume": Subcommand("pykiq.cli.queues:resume", "Let jobs be taken from paused queues again."),
    "job": Subcommand("pykiq.cli.job:job", "Find a job, wherever it is, and show all about it."),
    "retries": Subcommand("pykiq.cli.jobs:retries", "Show, retry, kill or delete jobs that will be tried again."),
    "scheduled": Subcommand("pykiq.cli.jobs:scheduled", "Show, push, move or delete jobs that are due later."),
    "dead": Subcommand("pykiq.cli.jobs:dead", "Show, retry or delete jobs that will not be tried again."),
    "processes": Subcommand("pykiq.cli.fleet:processes", "Show the processes of the fleet, Ruby's and Python's."),
    "busy": Subcommand("pykiq.cli.fleet:busy", "Show the jobs that run now, the longest running first."),
    "quiet": Subcommand("pykiq.cli.fleet:quiet", "Let processes take no more jobs."),
    "stop": Subcommand("pykiq.cli.fleet:stop", "Let processes stop."),
    "top": Subcommand("pykiq.cli.top:top", "Watch queues, processes and running jobs."),
    "doctor": Subcommand("pykiq.cli.doctor:doctor", "Look for what is wrong with the fleet and its Redis."),
    "stubs": Subcommand("pykiq.cli.stubs:stubs", "Write each language's jobs down in the other one."),
    "mark": Subcommand("pykiq.cli.mark:mark", "Mark a deployment in the charts of the Metrics page."),
    "dev": Subcommand("pykiq.cli.dev:dev", "Run jobs while you write them, with a server of its own."),
}
"""Each is loaded when it is used, so that a worker does not pay for what draws tables, nor `pykiq --help` for any."""


class _Group(Group):
    """The group that loads the subcommand it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        known = COMMANDS.get(cmd_name)
        if known is None:
            return None
        module, _, name = known.place.partition(":")
        # What is loaded stays: to look through it for garbage, again and again, is a tenth of what loading takes.
        collects = gc.isenabled()
        gc.disable()
        try:
            command: click.Command = getattr(import_module(module), name)
        finally:
            if collects:
                gc.enable()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List them by their summaries here: click would load each command to ask it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, known.summary) for name, known in COMMANDS.items()])

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
    if message.startswith("got unexpected extra argument") and error.ctx is not None:
        given = message.partition("(")[2].partition(")")[0].split()[0]
        takes = [param.metavar or "" for param in error.ctx.command.params if isinstance(param, click.Argument)]
        if takes:
            message = f"`{command}` takes {' '.join(takes)} and was given {given} besides"
        elif "require" in error.ctx.params:
            meant = f"modules are given with --require {given}, queues with -q {given}"
            return f"`{command}` takes no arguments and was given {given}; {meant}"
    return message if ";" in message else f"{message.rstrip('.')}; see `{command} --help`"


def _refuse(message: str, code: int) -> int:
    print(f"pykiq: {printable(' '.join(message.splitlines()))}", file=sys.stderr)  # noqa: T201
    return code

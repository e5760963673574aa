"""Flags shared by the subcommands, and how they become settings.

Click only takes the text of a flag; whether it is a number, a queue or a URL is for the rules of `pykiq.config`, so
that a flag, a variable and a file are refused in the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from pykiq.config.capsule import queue_rule
from pykiq.config.environment import Given
from pykiq.config.load import Loaded, load
from pykiq.config.settings import checked, did_you_mean, shown, whole
from pykiq.errors import ConfigError

Command = TypeVar("Command", bound=Callable[..., Any])

HELP = {"help_option_names": ["-h", "--help"]}

# Parameter of click → (setting, flag as errors name it).
SETTINGS: dict[str, tuple[str, str]] = {
    "redis": ("redis", "--redis"),
    "environment": ("environment", "--environment"),
    "concurrency": ("concurrency", "--concurrency"),
    "timeout": ("timeout", "--timeout"),
    "tag": ("tag", "--tag"),
    "wire": ("wire", "--wire"),
    "rails": ("rails", "--rails"),
    "foreign": ("foreign", "--foreign"),
    "processes": ("processes", "--processes"),
    "max_rss": ("max_rss", "--max-rss"),
    "metrics_port": ("metrics_port", "--metrics-port"),
    "metrics_host": ("metrics_host", "--metrics-host"),
    "metrics_max_classes": ("metrics_max_classes", "--metrics-max-classes"),
    "log_format": ("log_format", "--log-format"),
    "require": ("require", "--require"),
}


class Group(click.Group):
    """A group that names the nearest subcommand for one that there is not."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, ...]:
        names = self.list_commands(ctx)
        if args and args[0] not in names and not args[0].startswith("-"):
            near = did_you_mean(args[0], names)
            raise click.UsageError(
                f"no such command `{args[0]}`{near or f'; `{ctx.command_path} --help` lists them'}", ctx
            )
        return super().resolve_command(ctx, args)


def connection_options(command: Command) -> Command:
    """`--redis`, `-C`, `--no-config` and `-e`: every subcommand finds Redis in the same way."""
    for option in (
        click.option("-e", "--environment", metavar="ENV", help="Section of the file, such as production."),
        click.option("--no-config", is_flag=True, help="Read no sidekiq.yml, also where there is one."),
        click.option("-C", "--config", metavar="PATH", help="A sidekiq.yml; config/sidekiq.yml when there is one."),
        click.option("--redis", metavar="URL", help="Where Redis is; REDIS_URL by default."),
    ):
        command = option(command)
    return command


def limit_option(help_text: str) -> Callable[[Command], Command]:
    """`--limit N`."""

    def whole_number(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
        return None if text is None else checked(whole(1), text, "--limit")

    return click.option("--limit", metavar="N", callback=whole_number, help=help_text)


def filled(names: Sequence[str], what: str) -> Sequence[str]:
    """The names, none of which is empty. Raises ConfigError: an empty one is a shell's variable that is not set."""
    if "" in names:
        raise ConfigError(f'{what} is ""; expected a name')
    return names


def one_queue(text: str, *, repeatable: bool = True) -> str:
    """The value of `--queue`. Raises ConfigError for several in one text, which would be a queue that nobody pushes to.

    A queue that does have a space in its name can be given in a file.
    """
    names = text.split()
    if len(names) > 1:
        meant = " ".join(f"-q {name}" for name in (names if repeatable else names[:1]))
        raise ConfigError(f"--queue is {shown(text)}; expected the name of one queue; did you mean {meant}?")
    return text


def loaded(parameters: dict[str, Any]) -> Loaded:
    """The configuration with these flags on top. Raises ConfigError."""
    flags: dict[str, Given] = {}
    for name, (setting, flag) in SETTINGS.items():
        value = parameters.get(name)
        if value is not None and value != ():
            flags[setting] = Given(value, flag)
    if parameters.get("queue"):
        queues = [checked(queue_rule, one_queue(text), "--queue") for text in parameters["queue"]]
        flags["queues"] = Given(queues, "--queue")
    if parameters.get("verbose"):
        flags["log_level"] = Given("debug", "--verbose")
    file = Given(parameters["config"], "--config") if parameters.get("config") is not None else None
    without = bool(parameters.get("no_config"))
    if file and without:
        raise ConfigError("--config and --no-config are given; expected one of them")
    return load(flags, file=file, without_file=without)

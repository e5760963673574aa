"""`pykiq stubs`: each language's jobs, declared in the other one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pykiq.cli import stubs_python, stubs_ruby
from pykiq.cli.options import HELP, Group, loaded
from pykiq.cli.push_options import retry_of
from pykiq.cli.run import load_handlers
from pykiq.cli.stubs_source import RubyJob, files_of, jobs_in
from pykiq.client.naming import refusal
from pykiq.config.settings import checked, did_you_mean, text
from pykiq.errors import ConfigError
from pykiq.jobs.registry import registry


@click.group(cls=Group, invoke_without_command=True, context_settings=HELP)
@click.pass_context
def stubs(context: click.Context) -> None:
    """Write each language's jobs down in the other one."""
    if context.invoked_subcommand is None:
        raise ConfigError(
            "stubs in which language? `pykiq stubs ruby --require MODULE` writes Ruby classes for Python's handlers,"
            " `pykiq stubs python CLASS|PATH` Python declarations for Ruby's jobs"
        )


@stubs.command(context_settings=HELP)
@click.option(
    "-r", "--require", multiple=True, metavar="MODULE", help="Module, package or file with handlers; repeatable."
)
@click.option("--out", metavar="PATH", help="The Ruby file to write, such as app/jobs/python_jobs.rb.")
@click.option(
    "--route-to", default="python", show_default=True, metavar="QUEUE", help="The queue that only Python serves."
)
def ruby(out: str | None, route_to: str, **parameters: Any) -> None:
    """Ruby classes for the Python handlers. A Sidekiq that takes such a job hands it to the queue of --route-to."""
    if not route_to or route_to != route_to.strip():
        raise ConfigError(f"--route-to is {route_to!r}; expected the name of a queue")
    checked(text, route_to, "--route-to")
    load_handlers(loaded(parameters), Path.cwd())
    handlers = [handler for name in registry.names() if (handler := registry.get(name))]
    path = None if out is None else Path(out)
    _write(stubs_ruby.ruby_file(handlers, route_to, path), path, stubs_ruby.HEADER)


@stubs.command(short_help="Python declarations for Ruby job classes.", context_settings=HELP)
@click.argument("sources", metavar="CLASS|PATH…", nargs=-1, required=True)
@click.option("--out", metavar="PATH", help="The Python file to write.")
@click.option("-q", "--queue", metavar="QUEUE", help="The queue of classes that are given by name.")
@click.option("--retry", metavar="N", help="How often those are retried: true, false or a number.")
def python(sources: tuple[str, ...], out: str | None, queue: str | None, retry: str | None) -> None:
    """Python declarations for Ruby job classes: of their source (files or folders), or of their names."""
    if queue is not None:
        checked(text, queue, "--queue")
    named = {**({} if queue is None else {"queue": queue}), **({} if retry is None else {"retry": retry_of(retry)})}
    jobs = {job.name: job for source in sources for job in _jobs(source, named)}
    path = None if out is None else Path(out)
    _write(stubs_python.python_file(list(jobs.values())), path, stubs_python.HEADER)


def _jobs(source: str, named: dict[str, Any]) -> list[RubyJob]:
    """The classes that one argument stands for. Raises ConfigError."""
    path = Path(source)
    if source.endswith(".rb") or "/" in source or path.is_dir():
        if not path.exists():
            siblings = [child.name for child in path.parent.iterdir()] if path.parent.is_dir() else []
            raise ConfigError(f"there is no {source}{did_you_mean(path.name, siblings)}")
        found = jobs_in(file.read_text("utf-8-sig", "replace") for file in files_of(path))
        if not found:
            raise ConfigError(
                f"{source} has no job class; expected a class with `include Sidekiq::Job` or a parent ApplicationJob,"
                " and a `perform`"
            )
        return found
    refused = refusal(source)
    if refused:
        raise ConfigError(refused)
    return [RubyJob(source.removeprefix("::"), options=dict(named))]


def _write(text: str, path: Path | None, header: str) -> None:
    """To the file or to standard output. Raises ConfigError for a file that somebody else wrote."""
    if path is None:
        click.echo(text, nl=False)
        return
    if path.exists() and header not in path.read_text("utf-8-sig", "replace")[:500]:
        raise ConfigError(f"--out is {path}, which was written by hand: give another name, or remove it first")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise ConfigError(f"--out is {path}: {error.strerror}") from None

"""One Config out of all places a setting may come from: command line > environment > file > default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from pykiq.config.capsule import DEFAULT_CAPSULE, Capsule
from pykiq.config.environment import Given, read_environment
from pykiq.config.model import RULES, Config
from pykiq.config.settings import checked, did_you_mean, shown
from pykiq.errors import ConfigError

DEFAULT_FILES = ("config/sidekiq.yml", "config/sidekiq.yml.erb")


@dataclass(frozen=True, slots=True)
class Loaded:
    """The Config, the settings that somebody gave (and where), the file that was read, and remarks for the log."""

    config: Config
    given: Mapping[str, Given]
    file: str | None = None
    notes: tuple[str, ...] = ()


def load(
    flags: Mapping[str, Given] | None = None,
    *,
    file: Given | None = None,
    without_file: bool = False,
    variables: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Loaded:
    """Read everything once.

    `flags` are the settings of the command line, `file` its `-C`, `without_file` its `--no-config`; `variables` stands
    in for the process's environment and `directory` for the current one, where config/sidekiq.yml is looked for.

    Raises:
        ConfigError: one line: what was given and where, what was expected, the nearest valid name.
    """
    flags = dict(flags or {})
    environment = read_environment(variables)
    section = flags.get("environment") or environment.section
    name = checked(RULES["environment"], section.value, section.source) if section else "development"
    path = None if without_file else _find(file or environment.file, directory or Path())
    shown_as = str(path) if path is None or directory is None else _below(path, directory)
    written: dict[str, Given] = {}
    extra: Mapping[str, Any] = {}
    notes: tuple[str, ...] = ()
    if path is not None:
        from pykiq.config import sidekiq_yml  # YAML and ERB are a megabyte, and many have no such file

        contents = sidekiq_yml.read(path, name, environment.variables, shown_as=shown_as)
        written, extra, notes = dict(contents.settings), contents.extra, contents.notes
    # RAILS_MAX_THREADS is Ruby's exception: a variable that yields to the file.
    given: dict[str, Given] = {**environment.fallbacks, **written, **environment.settings, **flags}
    settings: dict[str, Any] = {
        setting: value.value if setting == "capsules" else checked(RULES[setting], value.value, value.source)
        for setting, value in given.items()
    }
    settings["environment"] = name
    config = Config.of(**settings, extra=extra)
    return Loaded(config, given, None if path is None else shown_as, notes)


def with_code(loaded: Loaded, code: Config) -> Loaded:
    """The same with what the program itself configured, where neither flag, variable nor file says otherwise."""
    default = Config()
    taken = {
        known.name: getattr(code, known.name)
        for known in fields(Config)
        if known.name != "capsules"
        and known.name not in loaded.given
        and getattr(code, known.name) != getattr(default, known.name)
    }
    if code.capsules != default.capsules and "capsules" not in loaded.given:
        taken["capsules"] = _capsules(loaded, code)
    return replace(loaded, config=replace(loaded.config, **taken)) if taken else loaded


def _capsules(loaded: Loaded, code: Config) -> tuple[Capsule, ...]:
    """The program's capsules, the one called default with the slots and the queues that were given for it."""
    ours = {capsule.name: capsule for capsule in loaded.config.capsules}[DEFAULT_CAPSULE]
    given = {name: getattr(ours, name) for name in ("concurrency", "queues") if name in loaded.given}
    return tuple(replace(capsule, **given) if capsule.name == DEFAULT_CAPSULE else capsule for capsule in code.capsules)


def _find(given: Given | None, directory: Path) -> Path | None:
    """The file to read: the one that was given, else the default one below `directory`, else none.

    Raises:
        ConfigError: the file that was given is not there.
    """
    if given is None:
        return next((directory / name for name in DEFAULT_FILES if (directory / name).is_file()), None)
    path = directory / str(given.value)
    if path.is_file():
        return path
    if path.is_dir():
        raise ConfigError(
            f"{given.source} is {shown(given.value)}, a directory; expected a file such as {DEFAULT_FILES[0]}"
        )
    here = [child.name for child in path.parent.iterdir() if child.is_file()] if path.parent.is_dir() else []
    near = did_you_mean(path.name, here)
    raise ConfigError(
        f"{given.source} is {shown(given.value)}; no such file{near or '; give the path of a sidekiq.yml'}"
    )


def _below(path: Path, directory: Path) -> str:
    return str(path.relative_to(directory)) if path.is_relative_to(directory) else str(path)

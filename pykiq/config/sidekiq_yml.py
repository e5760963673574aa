"""sidekiq.yml into settings: environment sections, Ruby's names for them, queues and capsules (WIRE.md §18)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pykiq.config import erb, yaml_lines
from pykiq.config.capsule import DEFAULT_CAPSULE, capsule_from, queue_rule
from pykiq.config.environment import Given
from pykiq.config.erb import Rendered
from pykiq.config.model import RULES
from pykiq.config.settings import SLIP, checked, did_you_mean, shown
from pykiq.config.yaml_lines import Items, Table
from pykiq.errors import ConfigError

# Ruby's top-level keys, and the settings they are. All of pykiq's own go under `pykiq:`, a key Ruby keeps and ignores.
RUBY_KEYS: Mapping[str, str] = {
    "concurrency": "concurrency",
    "queues": "queues",
    "capsules": "capsules",
    "timeout": "timeout",
    "tag": "tag",
    "labels": "labels",
    "max_retries": "max_retries",
    "dead_max_jobs": "dead_max_jobs",
    "dead_timeout_in_seconds": "dead_timeout",
    "poll_interval_average": "poll_interval",
    "average_scheduled_poll_interval": "average_scheduled_poll_interval",
}
# Read or knowingly left alone; nobody needs to hear about these.
_RUBY_ONLY = frozenset(
    {"verbose", "strict", "require", "environment", "pidfile", "logfile", "daemon", "redis", "pykiq"}
)
SECTION = "pykiq"
READ = frozenset({*RUBY_KEYS, "verbose", SECTION})
MAX_FILE_BYTES = 2**20  # real ones have some kilobytes; reading YAML takes a second per 100 kB


@dataclass(frozen=True, slots=True)
class File:
    """What a sidekiq.yml says: settings with their lines, the keys that are not settings, and remarks for the log."""

    settings: Mapping[str, Given]
    extra: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def read(path: Path, environment: str, variables: Mapping[str, str], *, shown_as: str | None = None) -> File:
    """Read one file. `environment` chooses the section that is merged over the rest, key by key.

    Raises:
        ConfigError: one line with `path:line`.
    """
    name = shown_as or str(path)
    rendered = erb.render(_text(path, name), variables, name, environment)
    try:
        table = yaml_lines.load(rendered, name)
    except ConfigError:
        if rendered.code:  # most likely what is wrong with the YAML
            raise ConfigError(rendered.code[0].message) from None
        raise
    _refuse_code(rendered, table, environment)
    return _Reader(name, _merged(table, environment, name), rendered).file()


def _text(path: Path, name: str) -> str:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ConfigError(f"{name} has {size} bytes; expected a sidekiq.yml, of {MAX_FILE_BYTES} bytes at most")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise ConfigError(f"{name} cannot be read: {reason}") from None


def _refuse_code(rendered: Rendered, table: Table, environment: str) -> None:
    """Raise ConfigError for Ruby code (`<% … %>`) inside of a setting; inside of what is not read it does not matter.

    Code stands in the setting that begins last before it. What a section takes over with `<<` has its own lines.
    """
    section = table.get(environment)
    begins: dict[int, bool] = {}
    for part in (table, section) if isinstance(section, Table) else (table,):
        for key, line in part.lines.items():
            begins[line] = begins.get(line, False) or key in READ or (part is table and key == environment)
    for refused in rendered.code:
        before = [line for line in begins if line <= refused.line]
        if not before or begins[max(before)]:
            raise ConfigError(refused.message)


def _merged(table: Table, environment: str, path: str) -> Table:
    """The section of the environment over the top level. The other sections stay, as keys nobody asks for."""
    section = table.pop(environment, None)
    if section is None:
        return table
    if not isinstance(section, Table):
        where = f"{path}:{table.lines[environment]}: the section `{environment}`"
        raise ConfigError(f"{where} is {shown(section)}; expected settings below it")
    table.update(section)
    table.lines.update(section.lines)
    return table


class _Reader:
    def __init__(self, path: str, table: Table, rendered: Rendered) -> None:
        self._path = path
        self._table = table
        self._rendered = rendered
        self._settings: dict[str, Given] = {}
        self._notes: list[str] = []

    def file(self) -> File:
        for key, setting in RUBY_KEYS.items():
            if key in self._table:
                self._take(setting, self._table[key], self._source(self._table, key))
        self._refuse_unread(self._table.get("verbose"))
        if self._table.get("verbose") is True:
            self._settings["log_level"] = Given("debug", self._source(self._table, "verbose"))
        self._own_section()
        extra = {key: value for key, value in self._table.items() if key not in READ and key != "strict"}
        for key, value in extra.items():
            self._remark(key, value)
        return File(self._settings, self._plain(extra), tuple(self._notes))

    def _own_section(self) -> None:
        section = self._table.get(SECTION)
        if section is None:
            return
        if not isinstance(section, Table):
            raise ConfigError(f"{self._source(self._table, SECTION)} is {shown(section)}; expected settings below it")
        valid = [name for name in RULES if name not in {"environment", "extra"}]
        for key, value in section.items():
            self._refuse_unread(key)
            if key not in valid:
                near = did_you_mean(key, valid)
                raise ConfigError(f"{self._source(section, key)} is not a setting{near or '; Config lists them'}")
            self._take(key, value, self._source(section, key))

    def _take(self, setting: str, value: object, source: str) -> None:
        self._refuse_unread(value)
        if value is None or value == "" or (isinstance(value, (list, dict)) and not value):
            return  # `:queues:` with nothing below it, or an ERB tag whose variable is not set
        if setting == "queues":
            value = self._queues(value, source)
        elif setting == "capsules":
            value = self._capsules(value, source)
        self._settings[setting] = Given(value, source)

    def _queues(self, value: object, source: str) -> object:
        if isinstance(value, Items):
            return [
                checked(queue_rule, item, f"{self._path}:{line}: a queue")
                for item, line in zip(value, value.lines, strict=True)
            ]
        if isinstance(value, Table):
            return [
                checked(queue_rule, [name, weight], f"{self._path}:{value.lines[name]}: queue `{name}`")
                for name, weight in value.items()
            ]
        # One scalar is one queue; a space in it belongs to its name.
        return [checked(queue_rule, value, source)]

    def _capsules(self, value: object, source: str) -> object:
        if not isinstance(value, Table):
            raise ConfigError(f"{source} is {shown(value)}; expected a mapping of names to concurrency and queues")
        capsules = []
        for name, options in value.items():
            where = f"{self._path}:{value.lines[name]}: "
            if name == DEFAULT_CAPSULE and isinstance(options, Table):
                # Ruby's default capsule is always there: this one says more about it.
                for key in ("concurrency", "queues"):
                    if key in options:
                        self._take(key, options[key], self._source(options, key))
                continue
            if isinstance(options, Table) and options.get("queues"):
                # A new mapping: the table may be shared, by an anchor.
                options = {**options, "queues": self._queues(options["queues"], self._source(options, "queues"))}
            capsules.append(capsule_from(name, options, where))
        return tuple(capsules)

    def _remark(self, key: str, value: object) -> None:
        """Ruby says nothing about a misspelt key and runs with the default; we say so."""
        if key in _RUBY_ONLY or isinstance(value, Table):
            return
        source = self._source(self._table, key)
        if key in RULES:
            self._notes.append(f"{source} is not read here; put it below `{SECTION}:`")
            return
        near = did_you_mean(key, RUBY_KEYS, cutoff=SLIP)
        if near:
            self._notes.append(f"{source} is not a setting{near}")

    def _refuse_unread(self, value: object) -> None:
        """Raise ConfigError when ERB that pykiq does not read stands anywhere in the value."""
        match value:
            case str():
                why = self._rendered.refusal(value)
                if why:
                    raise ConfigError(why)
            case dict():
                for key, item in value.items():
                    self._refuse_unread(key)
                    self._refuse_unread(item)
            case list():
                for item in value:
                    self._refuse_unread(item)

    def _plain(self, value: Any) -> Any:
        """Ordinary lists and mappings, without their lines; ERB that was not read as it stands in the file."""
        if isinstance(value, str):
            return self._rendered.as_written(value)
        if isinstance(value, dict):
            return {self._plain(key): self._plain(item) for key, item in value.items()}
        return [self._plain(item) for item in value] if isinstance(value, list) else value

    def _source(self, table: Table, key: str) -> str:
        return f"{self._path}:{table.lines[key]}: `{key}`"

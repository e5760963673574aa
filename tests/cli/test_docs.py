"""What docs/operating.md says of commands, filters, actions, checks and `pykiq.admin` is what there is."""

from __future__ import annotations

import re
from pathlib import Path

import click

from pykiq import admin
from pykiq.cli.doctor import checks
from pykiq.cli.filters import filter_options
from pykiq.cli.jobs import DEAD, RETRIES, SCHEDULED
from pykiq.cli.main import COMMANDS, pykiq
from pykiq.cli.words import VERBS
from tests.test_docs import PAGES, ROOT, code, table

PAGE = "docs/operating.md"


def test_every_command_is_documented() -> None:
    pages = "\n".join(page.read_text("utf-8") for page in PAGES)
    assert [name for name in COMMANDS if not re.search(rf"pykiq (?:\w+\\\|)?{name}\b", pages)] == []


def test_the_filters_are_those_of_the_commands() -> None:
    documented = {code(row[0])[0].split()[0] for row in table(PAGE, "## Filters and actions")}
    plain = filter_options()(click.command()(lambda **_: None))
    assert documented == {name for option in plain.params for name in option.opts}


def test_the_actions_are_those_of_the_sets() -> None:
    text = (ROOT / PAGE).read_text("utf-8").partition("| action |")[2].partition("\n\n")[0]
    documented = {match[1]: match[2] for match in re.finditer(r"^\| `(\w+)` \| ([^|]+) \|", text, re.MULTILINE)}
    assert set(documented) == set(VERBS)
    for name, kind in (("retries", RETRIES), ("scheduled", SCHEDULED), ("dead", DEAD)):
        told = {action for action, on in documented.items() if name in on or on.startswith("all")}
        assert told == set(kind.actions), name


def test_the_checks_are_those_of_the_doctor() -> None:
    documented = {name for row in table(PAGE, "## Doctor") for name in row[0].split(", ")}
    source = Path(checks.__file__).read_text("utf-8")
    assert documented == set(re.findall(r'Finding\(\s*(?:\*\(\s*)?"([a-z ]+)"', source))


def test_the_names_of_admin_are_those_it_has() -> None:
    text = (ROOT / PAGE).read_text("utf-8").partition("## From Python")[2]
    named = {
        word for cell in code(re.sub(r"```.*?```", "", text, flags=re.DOTALL)) for word in re.findall(r"\w+", cell)
    }
    for name in admin.__all__:
        assert name in named, name
        if not isinstance(getattr(admin, name), type):
            continue
        public = {attribute for attribute in vars(getattr(admin, name)) if not attribute.startswith("_")}
        assert public <= named, name


def subcommands() -> dict[str, click.Command]:
    """Every command that can be called, by its words."""
    found: dict[str, click.Command] = {}
    for name in COMMANDS:
        command = pykiq.get_command(click.Context(pykiq), name)
        assert command is not None
        each = command.commands.items() if isinstance(command, click.Group) else [("", command)]
        found |= {f"{name} {word}".strip(): one for word, one in each}
    return found


def flags(command: click.Command) -> set[str]:
    context = click.Context(command, **command.context_settings)
    return {name for option in command.get_params(context) if isinstance(option, click.Option) for name in option.opts}


def test_the_flags_are_those_of_the_commands() -> None:
    commands = subcommands()
    commands.pop("run")  # docs/running.md has its own
    documented: dict[str, set[str]] = {name: set() for name in commands}
    for told, of, _ in table(PAGE, "## Flags"):
        names = (
            code(of)
            if not of.startswith("all")
            else [name for name in commands if not any(name.startswith(other) for other in code(of))]
        )
        for name in names:
            documented[name] |= {flag.split()[0] for flag in code(told)}
    assert documented == {name: flags(command) for name, command in commands.items()}


def named_commands() -> list[tuple[str, str]]:
    """What pages, the examples' read-me files and the doctor tell people to type, with where it stands."""
    texts = {page.name: page.read_text("utf-8") for page in [*PAGES, *(ROOT / "examples").rglob("*.md")]}
    texts |= {path.name: path.read_text("utf-8") for path in (ROOT / "pykiq" / "cli" / "doctor").glob("*.py")}
    return [
        (place, " ".join(found[1].split()))
        for place, text in texts.items()
        for found in re.finditer(r"(?:^ {4}|^|`|\"|: )pykiq ([a-z]+(?:[^\n`\"|#]|\\\|)*)", text, re.MULTILINE)
        if found[1].split()[0] in COMMANDS
    ]


def test_every_command_that_people_are_told_to_type_has_these_flags() -> None:
    commands = subcommands()
    named = named_commands()
    assert len(named) > 50
    for place, line in named:
        words = line.split()
        command = commands.get(" ".join(words[:2])) or commands.get(words[0])
        if command is None:  # of `stubs` in general
            continue
        used = {word.split("=")[0] for word in words[1:] if re.fullmatch(r"--?[a-zA-Z][a-z-]*(=.*)?", word)}
        known = flags(command) | (flags(commands["run"]) if words[0] == "dev" else set())
        assert used <= known, f"{place}: pykiq {line}"

"""What docs/operating.md says of commands, filters, actions, checks and `pykiq.admin` is what there is."""

from __future__ import annotations

import re
from pathlib import Path

import click

from pykiq import admin
from pykiq.cli.doctor import checks
from pykiq.cli.filters import filter_options
from pykiq.cli.jobs import DEAD, RETRIES, SCHEDULED
from pykiq.cli.main import COMMANDS
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
    assert documented == set(re.findall(r'Finding\(\s*(?:\*\()?"([a-z ]+)"', source))


def test_the_names_of_admin_are_those_it_has() -> None:
    text = (ROOT / PAGE).read_text("utf-8").partition("## From Python")[2]
    named = {
        word for cell in code(re.sub(r"```.*?```", "", text, flags=re.DOTALL)) for word in re.findall(r"\w+", cell)
    }
    for name in admin.__all__:
        public = {attribute for attribute in vars(getattr(admin, name)) if not attribute.startswith("_")}
        assert public <= named, name

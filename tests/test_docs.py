"""What README and docs/ say is true: their Python runs, their links lead somewhere, their tables are the code's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest

import pykiq
from pykiq import Config, admin, testing
from pykiq.cli.main import FAILED, MISUSED, STOPPED, UNREAD
from pykiq.cli.run import run
from pykiq.config import erb
from pykiq.config.environment import FILE_VARIABLE, SECTION_VARIABLES, VARIABLES
from pykiq.config.redis_parameters import PARAMETERS
from pykiq.config.sidekiq_yml import RUBY_KEYS
from pykiq.jobs.lifecycle import EVENTS
from pykiq.jobs.options import OPTIONS
from pykiq.store.rights import CHANNEL, KEYS, RIGHTS
from pykiq.worker.signals import NAMES

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])

# Runs each block as a program of its own, in one process: what a block declares is forgotten before the next one.
RUNNER = """
import json, sys
import pykiq
from pykiq.client import configure
from pykiq.jobs.lifecycle import lifecycle
from pykiq.jobs.registry import registry
for place, code in json.load(sys.stdin):
    registry.clear(), lifecycle.clear(), pykiq.client_middleware.clear(), pykiq.server_middleware.clear()
    configure.forget()
    print(place, flush=True)
    exec(compile(code, place, "exec"), {"__name__": "__main__"})
"""


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def blocks(page: Path) -> list[tuple[str, str]]:
    """The Python blocks of a page, each with where it begins."""
    content = page.read_text("utf-8")
    return [
        (f"{page.name}:{content.count(chr(10), 0, found.start()) + 2}", found[1])
        for found in re.finditer(r"^```python\n(.*?)^```$", content, re.DOTALL | re.MULTILINE)
    ]


def table(name: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading of a page, without its head."""
    _, found, below = text(name).partition(f"\n{heading}\n")
    assert found, f"{name} has no {heading!r}"
    lines = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert lines, f"{name} has no table below {heading!r}"
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines[0].splitlines()]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_table_of_what_a_redis_url_may_hold_is_the_list_that_is_read() -> None:
    listed = [name for row in table("docs/running.md", "## Redis") for name in code(row[0])]
    assert sorted(listed) == sorted(PARAMETERS)


def test_the_table_of_rights_and_its_rules_are_those_that_a_worker_is_tested_with() -> None:
    listed = table("docs/redis-keys.md", "## A user with few rights")
    assert [[name.replace("\\|", "|") for name in code(row[0])] for row in listed] == [
        list(right.commands) for right in RIGHTS
    ]
    assert [(row[1], row[2]) for row in listed] == [(right.why, right.without) for right in RIGHTS]
    _, _, below = text("docs/redis-keys.md").partition("    ACL SETUSER pykiq on >PASSWORD ")
    rules = below.partition("\n\n")[0].split()
    assert rules == [
        *(f"~{pattern}" for pattern in (*KEYS, "HOST:*")),
        f"&{CHANNEL}",
        "-@all",
        *(f"+{name}" for right in RIGHTS for name in right.commands),
    ]


def test_every_python_block_runs(redis_url: str) -> None:
    found = [block for page in PAGES for block in blocks(page)]
    assert len(found) > 10
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUNNER],
        input=json.dumps(found),
        env={**os.environ, "REDIS_URL": redis_url, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, f"{ran.stdout.splitlines()[-1:]}: {ran.stderr}"


@pytest.mark.parametrize(
    "module", [pykiq, pykiq.errors, admin, testing, pykiq.activejob], ids=lambda module: module.__name__
)
def test_the_public_names_are_those_of_the_page(module: ModuleType) -> None:
    documented = [name for row in table("docs/names.md", f"## {module.__name__}") for name in code(row[0])]
    public = getattr(module, "__all__", [name for name in vars(module) if name[0].isupper()])
    assert sorted(documented) == sorted(public)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", there.read_text("utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_every_page_of_docs_is_linked_from_the_readme() -> None:
    readme = text("README.md")
    assert [page.name for page in PAGES if page.parent.name == "docs" and f"(docs/{page.name})" not in readme] == []


def test_the_flags_are_those_that_click_knows() -> None:
    documented = {
        flag for row in table("docs/running.md", "## Flags") for flag in re.findall(r"(?<!\S)`?(--?[a-zA-Z-]+)", row[0])
    }
    context = click.Context(run, **run.context_settings)  # without its settings click would forget -h for good
    known = {name for option in run.get_params(context) for name in option.opts}
    assert documented == known


def test_the_defaults_of_the_flags_are_those_of_the_config() -> None:
    defaults = {code(row[0])[-1].split()[0]: row[2].strip("`") for row in table("docs/running.md", "## Flags")}
    config = Config()
    assert defaults["--redis"] == config.redis
    assert defaults["--concurrency"] == str(config.concurrency)
    assert defaults["--timeout"] == f"{config.timeout:g}"
    assert (defaults["--environment"], defaults["--queue"]) == (config.environment, config.queues[0])
    assert (defaults["--foreign"], defaults["--wire"]) == (config.foreign, config.wire)
    assert defaults["--log-format"] == config.log_format


def test_the_variables_are_those_that_are_read() -> None:
    documented = [name for row in table("docs/running.md", "## Environment variables") for name in code(row[0])]
    source = "\n".join(path.read_text("utf-8") for path in (ROOT / "pykiq").rglob("*.py"))
    named = re.findall(r'(?:known|environ)(?:\.get\(|\[)"([A-Z_]+)"', source)
    known = {*VARIABLES, FILE_VARIABLE, *SECTION_VARIABLES, *named}
    assert sorted(documented) == sorted(known)


def test_the_exit_codes_are_those_of_the_command() -> None:
    codes = [int(row[0]) for row in table("docs/running.md", "## Exit codes")]
    assert codes == [STOPPED, FAILED, MISUSED, UNREAD]
    of_run = [int(row[0]) for row in table("README.md", "## Use it")]
    assert of_run == [STOPPED, FAILED, MISUSED]


def test_the_signals_are_those_that_are_handled() -> None:
    assert sorted(name for row in table("docs/running.md", "## Signals") for name in code(row[0])) == sorted(NAMES)


def test_the_options_are_those_that_have_a_rule() -> None:
    documented = {name for row in table("docs/handlers.md", "## Options") for name in code(row[0])}
    assert documented == set(OPTIONS)


def test_the_events_are_those_that_are_fired() -> None:
    documented = [name for row in table("docs/handlers.md", "## Hooks of the process") for name in code(row[0])]
    assert sorted(documented) == sorted(EVENTS)


def test_the_keys_of_sidekiq_yml_are_those_that_are_read() -> None:
    section = text("docs/running.md").partition("## sidekiq.yml")[2]
    sentence = re.search(r"Read are (.*?);", section, re.DOTALL)
    assert sentence
    assert sorted(code(sentence[1])) == sorted([*RUBY_KEYS, "verbose"])


def test_the_forms_of_erb_are_those_that_are_understood() -> None:
    section = text("docs/running.md").partition("## sidekiq.yml")[2].partition("## Env")[0]
    forms = re.findall(r"<%= .*? %>", section)
    assert len(forms) >= 9
    for form in forms:
        rendered = erb.render(form, {"X": "7", "WORKERS": "7"}, "sidekiq.yml")
        assert rendered.refusal(rendered.text) is None, form
        if "ENV" in form:
            assert rendered.text == ("8" if "+ 1" in form else "7")


def test_the_example_of_sidekiq_yml_is_read(tmp_path: Path) -> None:
    from pykiq.config.environment import Given
    from pykiq.config.load import load

    section = text("docs/running.md").partition("## sidekiq.yml")[2]
    (tmp_path / "sidekiq.yml").write_text(section.partition("```yaml\n")[2].partition("```")[0], "utf-8")
    loaded = load(
        {"environment": Given("production", "-e")}, file=Given("sidekiq.yml", "-C"), variables={}, directory=tmp_path
    )
    assert loaded.config.concurrency == 20
    assert loaded.config.capsules[0].queues == (("critical", 6), ("default", 0))
    assert (loaded.config.max_retries, loaded.config.metrics_port) == (10, 9394)
    assert loaded.config.require == ("app.handlers",)
    assert loaded.notes == ()


def test_pages_say_nothing_of_the_machine_they_were_written_on() -> None:
    for page in PAGES:
        assert not re.search(r"(?<![\w.])/(?:tmp|root|home|work)/", page.read_text("utf-8")), page.name

"""What Ruby's own command line made of each sidekiq.yml and of each list of flags, and what ours makes of it.

Recorded from `Sidekiq::CLI#parse` (capture cli_and_yaml_config). Every file and every case is here; `DEVIATIONS` are
the files Ruby reads and we refuse. What differs in all of them:

- The default concurrency is 10, not 5.
- Numbers written as text are numbers: `"8"` is 8 slots, where Ruby keeps the text.
- Queues written as 1 and true are named `1` and `true`, as their keys in Redis are with Ruby too.
- `-h` ends with 0, and a missing `--require` is noticed when handlers are needed, after the rest is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest

from pykiq.cli.options import loaded
from pykiq.cli.run import run
from pykiq.config import Config
from pykiq.errors import ConfigError
from tests import captures

VERSIONS = ("7.3.2", "8.1.7")
READ = "read"  # the same settings
REFUSED = "refused"  # as Ruby does
SHOWN = "shown"  # prints something and ends


@dataclass(frozen=True)
class Case:
    """One recorded case: the flags behind its name, the file, the environment, and what we do with it."""

    flags: tuple[str, ...] = ()
    file: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    outcome: str = READ


def yml(file: str, *flags: str, outcome: str = READ, **variables: str) -> Case:
    return Case(flags, file, variables, outcome)


CASES = {
    "yml all_ones.yml": yml("all_ones.yml"),
    "yml anchors.yml": yml("anchors.yml"),
    "yml capsules_strkeys.yml": yml("capsules_strkeys.yml", outcome=REFUSED),
    "yml comma_weights.yml": yml("comma_weights.yml"),
    "yml concurrency_string.yml": yml("concurrency_string.yml"),
    "yml concurrency_zero.yml": yml("concurrency_zero.yml", outcome=REFUSED),
    "yml date.yml": yml("date.yml", outcome=REFUSED),
    "yml dup_queue.yml": yml("dup_queue.yml"),
    "yml empty.yml": yml("empty.yml"),
    "yml env_sections.yml": yml("env_sections.yml"),
    "yml erb.yml": yml("erb.yml", outcome=REFUSED),
    "yml erb_notrim.yml": yml("erb_notrim.yml"),
    "yml extra_keys.yml": yml("extra_keys.yml"),
    "yml hash_items.yml": yml("hash_items.yml", outcome=REFUSED),
    "yml hash_queues.yml": yml("hash_queues.yml"),
    "yml plain_strings.yml": yml("plain_strings.yml"),
    "yml scalar_queue.yml": yml("scalar_queue.yml"),
    "yml string_weight.yml": yml("string_weight.yml"),
    "yml symbols_weights.yml": yml("symbols_weights.yml"),
    "yml timeout_zero.yml": yml("timeout_zero.yml", outcome=REFUSED),
    "yml underscored.yml": yml("underscored.yml"),
    "yml zero_weight.yml": yml("zero_weight.yml"),
    "yml env_sections -e production": yml("env_sections.yml", "-e", "production"),
    "yml env_sections -e staging": yml("env_sections.yml", "-e", "staging"),
    "yml env_sections RAILS_ENV=production": yml("env_sections.yml", RAILS_ENV="production"),
    "yml env_sections RACK=production": yml("env_sections.yml", RACK_ENV="production"),
    "yml env_sections APP=staging,RAILS=production": yml("env_sections.yml", APP_ENV="staging", RAILS_ENV="production"),
    "yml anchors -e production": yml("anchors.yml", "-e", "production"),
    "yml + -c": yml("symbols_weights.yml", "-c", "2"),
    "yml + -q": yml("symbols_weights.yml", "-q", "only"),
    "missing config": Case(("-C", "nope.yml"), outcome=REFUSED),
    "-q forms": Case(("-q", "a,3", "-q", "b", "-q", "c,1")),
    "-q ones": Case(("-q", "a,1", "-q", "b,1")),
    "-q space": Case(("-q", "a 3"), outcome=REFUSED),
    "-q dup": Case(("-q", "a", "-q", "a")),
    "RAILS_MAX_THREADS": Case(variables={"RAILS_MAX_THREADS": "11"}),
    "RAILS_MAX_THREADS + -c": Case(("-c", "3"), variables={"RAILS_MAX_THREADS": "11"}),
    "-t 5 -g tag -v -e test": Case(("-t", "5", "-g", "tg", "-v", "-e", "test")),
    "-c abc": Case(("-c", "abc"), outcome=REFUSED),
    "-c 0": Case(("-c", "0"), outcome=REFUSED),
    "-t 0": Case(("-t", "0"), outcome=REFUSED),
    "-i 3": Case(("-i", "3"), outcome=REFUSED),
    "-d": Case(("-d",), outcome=REFUSED),
    "-L x": Case(("-L", "x"), outcome=REFUSED),
    "-P x": Case(("-P", "x"), outcome=REFUSED),
    "-V": Case(("-V",), outcome=SHOWN),
    "-h": Case(("-h",), outcome=SHOWN),
    "--bogus": Case(("--bogus",), outcome=REFUSED),
    "no require": Case(outcome=SHOWN),
    "long flags": Case(
        ("--concurrency", "4", "--timeout", "3", "--tag", "t", "--verbose", "--environment", "x", "--queue", "q1")
    ),
    "no flags cwd": Case(),
}

DEVIATIONS = {
    "yml capsules_strkeys.yml": "a capsule has no concurrency of its own: Ruby reads that and cannot start",
    "yml erb.yml": "a loop is Ruby code, and nothing of a file is ever evaluated",
    "-q space": "Ruby serves a queue of that name, to which nobody pushes: two queues were meant",
    "yml hash_items.yml": "Ruby serves queues named after the mappings; the ones meant would never be served",
}
"""Cases Ruby reads and we refuse."""

# Where to find each number Ruby shows in our Config.
NUMBERS = {
    "timeout": "timeout",
    "tag": "tag",
    "pia": "poll_interval",
    "aspi": "average_scheduled_poll_interval",
    "max_retries": "max_retries",
    "dead_max_jobs": "dead_max_jobs",
    "env": "environment",
}


def parsed(case: Case, version: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The Config of `pykiq run` with the case's flags, file and environment."""
    for name in ("APP_ENV", "RAILS_ENV", "RACK_ENV", "RAILS_MAX_THREADS", "REDIS_URL", "REDIS_PROVIDER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in case.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(directory)
    flags = list(case.flags)
    if case.file is not None:
        files = captures.read(version, "cli_and_yaml_config").data["yaml_files"]
        (directory / case.file).write_text(files[case.file], encoding="utf-8")
        flags += ["-C", case.file]
    return loaded(run.make_context("run", flags).params).config


def recorded(version: str) -> dict[str, Any]:
    cases = captures.read(version, "cli_and_yaml_config").data["cases"]
    return {case["case"]: case["parsed"] for case in cases}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_recorded_case_and_file_is_in_the_table(version: str) -> None:
    data = captures.read(version, "cli_and_yaml_config").data
    assert {case["case"] for case in data["cases"]} == set(CASES)
    assert set(data["yaml_files"]) == {case.file for case in CASES.values() if case.file}


@pytest.mark.parametrize("version", VERSIONS)
def test_what_ruby_refuses_is_refused_and_the_rest_is_read_or_explained(version: str) -> None:
    for name, ruby in recorded(version).items():
        refused_by_ruby = "ERR" in ruby
        refused_by_us = CASES[name].outcome == REFUSED
        assert refused_by_us == (refused_by_ruby or name in DEVIATIONS), name


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.outcome == READ])
def test_settings_are_those_ruby_reads(
    version: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = parsed(CASES[name], version, tmp_path, monkeypatch)
    ruby = recorded(version)[name]
    for shown, setting in NUMBERS.items():
        if shown in ruby:
            assert getattr(config, setting) == ruby[shown], setting
    assert config.labels == tuple(ruby["labels"])
    assert (config.log_level == "debug") == ruby.get("verbose", False)
    assert "tag" in ruby or config.tag == ""
    assert config.extra.get("custom") == ruby.get("custom")
    capsules = {capsule.name: capsule for capsule in config.capsules}
    assert set(capsules) == set(ruby["capsules"])
    for name_, expected in ruby["capsules"].items():
        ours = capsules[name_]
        assert [*ours.tickets] == [_queue(queue) for queue in expected["q"]]
        assert dict(ours.queues) == expected["w"]
        assert ours.mode == expected["m"]
        default = expected["c"] == 5 and ruby["concurrency"] == "5" and not _says_concurrency(name)
        assert ours.concurrency == (10 if default else int(expected["c"]))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.outcome == REFUSED])
def test_a_refusal_is_one_line(version: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[name]
    with pytest.raises((ConfigError, click.UsageError)) as refused:
        parsed(case, version, tmp_path, monkeypatch)
    message = str(refused.value)
    assert "\n" not in message
    if case.file is not None:
        assert message.startswith(f"{case.file}:")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("yml date.yml", "date.yml:1: a bare date or time; expected it in quotes"),
        (
            "yml concurrency_zero.yml",
            "concurrency_zero.yml:1: `concurrency` is 0; expected a whole number from 1 to 10000",
        ),
        ("yml timeout_zero.yml", "timeout_zero.yml:1: `timeout` is 0; expected a number of seconds above 0"),
        (
            "yml hash_items.yml",
            (
                "hash_items.yml:2: a queue is the mapping {critical: 3}; expected a queue as name or [name, weight];"
                " a list of mappings gives garbage names in Ruby too"
            ),
        ),
        (
            "yml capsules_strkeys.yml",
            "capsules_strkeys.yml:7: capsule `two` has no concurrency; give it a whole number, 1 or more, of its own",
        ),
        ("-c abc", '--concurrency is "abc"; expected a whole number from 1 to 10000'),
        ("missing config", '--config is "nope.yml"; no such file; give the path of a sidekiq.yml'),
    ],
)
def test_a_refusal_names_the_place_and_what_was_expected(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError) as refused:
        parsed(CASES[name], "8.1.7", tmp_path, monkeypatch)
    assert str(refused.value) == message


def _says_concurrency(name: str) -> bool:
    """Whether the case says 5 itself."""
    return CASES[name].file in {"env_sections.yml", "erb_notrim.yml"}


def _queue(name: object) -> str:
    return str(name).lower() if isinstance(name, bool) else str(name)

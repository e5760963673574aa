"""Ruby source as far as job classes need it: names, options and the parameters of `perform`. Runs nothing.

It reads what Ruby programmers write by hand, indented as they do; what it cannot read it names, and leaves out.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pykiq.cli.stubs_literals import NotRead, options_of

_OPENS = re.compile(
    r"(?P<indent>\s*)(?P<kind>class|module)\s+(?P<root>::)?(?P<name>[A-Z][\w:]*)\s*(?:<\s*(?P<parent>[A-Z][\w:]*))?"
)
_INCLUDES = re.compile(r"include\s+(?:::)?Sidekiq::(?:Job|Worker)\b")
_QUEUE_AS = re.compile(r"queue_as\s*\(?\s*(?::(?P<symbol>\w+)|(?P<quote>[\"'])(?P<text>[^\"']+)(?P=quote))")
_PRIORITY = re.compile(r"queue_with_priority\s*\(?\s*(-?\d+)\s*\)?")
_PERFORM = re.compile(r"def\s+perform\b(?P<rest>.*)")
_ACTIVE_JOB = ("ApplicationJob", "ActiveJob::Base", "::ActiveJob::Base")


@dataclass
class Parameter:
    """One parameter of `perform`: `kind` is `required`, `optional`, `rest`, `key`, `optional_key` or `keys`."""

    name: str
    kind: str


@dataclass
class RubyJob:
    """A class as its source declares it. `parameters` is None when they cannot be told."""

    name: str
    parent: str | None = None
    is_job: bool = False
    active_job: bool = False
    performs: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    parameters: list[Parameter] | None = None
    left_out: list[str] = field(default_factory=list)


def jobs_in(texts: Iterable[str]) -> list[RubyJob]:
    """The job classes of these Ruby files that have a `perform`, in order, with their base classes' options."""
    classes = [found for text in texts for found in _classes(text)]
    by_name = {one.name: one for one in classes}
    for one in classes:
        _inherit(one, by_name, depth=8)
    return [one for one in classes if one.is_job and one.performs]


def _inherit(one: RubyJob, by_name: dict[str, RubyJob], depth: int) -> None:
    if one.parent in _ACTIVE_JOB:
        one.is_job = one.active_job = True
    base = _named(one.parent, one.name, by_name)
    if base is None or base is one or not depth:
        return
    _inherit(base, by_name, depth - 1)
    one.is_job, one.active_job = one.is_job or base.is_job, one.active_job or base.active_job
    one.options = base.options | one.options


def _named(name: str | None, inside: str, by_name: dict[str, RubyJob]) -> RubyJob | None:
    """The class that Ruby finds under `name` in the body of the class `inside`: the innermost module first."""
    around = inside.split("::")[:-1]
    for depth in range(len(around), -1, -1):
        found = by_name.get("::".join([*around[:depth], name or ""]))
        if found is not None:
            return found
    return None


def _classes(text: str) -> list[RubyJob]:
    found: list[RubyJob] = []
    around: list[tuple[int, str, RubyJob | None]] = []  # indent, full name, the class if it is one
    for number, line in _statements(text):
        indent = len(line) - len(line.lstrip())
        while around and around[-1][0] >= indent:
            around.pop()
        statements = [line.strip()]
        opened = _OPENS.match(line)
        if opened:
            name = "::".join([*(around[-1][1:2] if around and not opened["root"] else []), opened["name"]])
            made = RubyJob(name, opened["parent"]) if opened["kind"] == "class" else None
            found += [made] if made else []
            around.append((indent, name, made))
            statements = line[opened.end() :].split(";")
        inner = next((job for _, _, job in reversed(around) if job is not None), None)
        if inner is not None:
            for statement in statements:
                _read(statement.strip(), number, inner)
    return found


def files_of(path: Path) -> list[Path]:
    """A Ruby file, or all of them below a folder."""
    return sorted(path.rglob("*.rb")) if path.is_dir() else [path]


def _read(line: str, number: int, job: RubyJob) -> None:
    if _INCLUDES.match(line):
        job.is_job = True
    elif line.startswith("sidekiq_options"):
        given = line.removeprefix("sidekiq_options").strip()
        for option in _split(_bracketed(given) if given.startswith("(") else given):
            try:
                job.options |= options_of(option)
            except NotRead:
                job.left_out.append(f"line {number}: sidekiq_options {option}")
    elif prioritised := _PRIORITY.fullmatch(line):
        job.options["priority"] = int(prioritised[1])
    elif line.startswith("queue_as"):
        named = _QUEUE_AS.match(line)
        if named:
            job.options["queue"] = named["symbol"] or named["text"]
        else:
            job.left_out.append(f"line {number}: {line}")
    elif (perform := _PERFORM.match(line)) and not job.performs:
        job.performs, job.parameters = True, parameters_of(perform["rest"])


def parameters_of(text: str) -> list[Parameter] | None:
    """The parameters that follow `def perform`; None when they cannot be told apart."""
    text = text.strip()
    found = []
    for part in _split(_bracketed(text) if text.startswith("(") else text.partition(";")[0]):
        name = part.lstrip("*&").partition("=")[0].partition(":")[0].strip()
        if part.startswith("&"):
            continue
        if part.startswith("**"):
            found.append(Parameter(name or "keywords", "keys"))
        elif part.startswith("*"):
            found.append(Parameter(name or "args", "rest"))
        elif not re.fullmatch(r"[a-z_]\w*", name):
            return None
        elif re.match(r"\w+:", part):
            if keyword.iskeyword(name):
                return None
            found.append(Parameter(name, "key" if part.endswith(":") else "optional_key"))
        else:
            found.append(Parameter(name, "optional" if "=" in part else "required"))
    kinds = [one.kind for one in found if one.kind in ("required", "optional")]
    return found if kinds == sorted(kinds, reverse=True) else None  # Ruby may go on with a required one, Python not


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, those that go on over several joined, each with the number of its first."""
    held, start = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = _uncommented(raw)
        if not line.strip():
            continue
        start = start if held else number
        held = f"{held} {line.strip()}" if held else line
        goes_on = held.count("(") + held.count("[") > held.count(")") + held.count("]") or held.endswith((",", "\\"))
        if goes_on and held.lstrip().startswith(("sidekiq_options", "def perform", "queue_as")) and number - start < 50:
            held = held.rstrip("\\")
            continue
        yield start, held
        held = ""
    if held:
        yield start, held


def _bracketed(text: str) -> str:
    """What stands in the bracket that `text` begins with."""
    depth = 0
    for place, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        if not depth:
            return text[1:place]
    return text[1:]


def _uncommented(line: str) -> str:
    """The line without a comment at its end."""
    quote = ""
    for place, sign in enumerate(line):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign == "#":
            return line[:place].rstrip()
    return line.rstrip()


def _split(text: str) -> list[str]:
    """At the commas that stand outside of brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
        if sign == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts if part.strip()]

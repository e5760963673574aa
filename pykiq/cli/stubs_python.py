"""The Python module that stands for Ruby's job classes: a typed `pykiq.remote` for each."""

from __future__ import annotations

import keyword
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pykiq.cli.stubs_source import Parameter, RubyJob
from pykiq.jobs.options import NOT_YET, OPTIONS

HEADER = '"""Jobs that run in Ruby. Written by `pykiq stubs python`: write it again instead of editing it."""'

KEYWORDS = (OPTIONS | {"priority"}) - NOT_YET - {"extra"}
"""The options that type checkers know, and that mean something at the push; any other stands in `extra`."""

_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def python_file(jobs: Sequence[RubyJob]) -> str:
    """The text of the module: each class under its last name, or its whole one where two have the same last name."""
    last = Counter(_last(job.name) for job in jobs)
    parts = [
        _declared(job, _last(job.name) if last[_last(job.name)] == 1 else job.name.replace("::", "")) for job in jobs
    ]
    typing = "from typing import Any\n\n" if any("Any" in part for part in parts) else ""
    return f"{HEADER}\n\n{typing}import pykiq\n" + "".join(parts)


def _declared(job: RubyJob, name: str) -> str:
    arguments = [repr(job.name).replace("'", '"')]
    before = "\n"
    if job.parameters is not None:
        signature = f"_{_BOUNDARY.sub('_', name).lower()}"
        before = f"\n\ndef {signature}({_parameters(job.parameters, job.active_job)}) -> None: ...\n\n\n"
        arguments.append(f"like={signature}")
    if job.active_job:
        arguments.append("active_job=True")
    arguments += [f"{key}={_shown(value)}" for key, value in job.options.items() if key in KEYWORDS]
    others = {key: value for key, value in job.options.items() if key not in KEYWORDS}
    if others:
        arguments.append(f"extra={_shown(others)}")
    remarks = "".join(f"# Left out, it is more than literals: {line}\n" for line in job.left_out)
    return f"{before}{remarks}{name} = pykiq.remote({', '.join(arguments)})\n"


def _parameters(parameters: Sequence[Parameter], active_job: bool) -> str:
    """Positional ones before the slash: a job of Sidekiq's has no keywords, one of Active Job's may."""
    positional = [f"{_safe(one.name)}: Any" + ("" if one.kind == "required" else " = ...")
                  for one in parameters if one.kind in ("required", "optional")]  # fmt: skip
    rest = [f"*{_safe(one.name)}: Any" for one in parameters if one.kind == "rest"]
    keys = [f"{_safe(one.name)}: Any" + ("" if one.kind == "key" else " = ...")
            for one in parameters if one.kind in ("key", "optional_key")]  # fmt: skip
    more = [f"**{_safe(one.name)}: Any" for one in parameters if one.kind == "keys"]
    if not active_job:
        keys = more = []
    slash = ["/"] if positional else []
    star = ["*"] if keys and not rest else []
    return ", ".join([*positional, *slash, *rest, *star, *keys, *more])


def _shown(value: Any) -> str:
    """As ruff would write it."""
    if isinstance(value, str):
        quoted = repr(value)
        return f'"{quoted[1:-1]}"' if quoted.startswith("'") and '"' not in value else quoted
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_shown(key)}: {_shown(inner)}" for key, inner in value.items()) + "}"
    return repr(value)


def _safe(name: str) -> str:
    return f"{name}_" if keyword.iskeyword(name) else name


def _last(name: str) -> str:
    return name.rpartition("::")[2]

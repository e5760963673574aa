"""Records captures from every real Sidekiq on this machine, or compares them with the stored ones.

    python -m compat_fixtures.recorder                      over the stored captures, all versions
    python -m compat_fixtures.recorder --out DIR --compare  elsewhere, and say where the shape differs
    python -m compat_fixtures.recorder --only 'retry_*' --sidekiq 8

The cases are in cases.json, what they may say is in capture.py. The versions are recorded side by side, one case after
the other in each.
"""

from __future__ import annotations

import argparse
import fnmatch
import functools
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from compat_fixtures.recorder import shape
from compat_fixtures.recorder.capture import RAILS_APP, record
from compat_fixtures.recorder.fleet import NotReached, ShopTaken, Studio
from tests.interop import ruby as rubies

HERE = Path(__file__).parent
STORED = HERE.parent
CASES: list[dict[str, Any]] = json.loads((HERE / "cases.json").read_text(encoding="utf-8"))
RAILS = 'require "rails"; require "active_job/railtie"; require "action_mailer/railtie"'


def main() -> int:
    options = _options()
    cases = [case for case in CASES if any(fnmatch.fnmatch(case["name"], only) for only in options.only)]
    found = [ruby for ruby in rubies.available() if options.sidekiq in (None, ruby.major)]
    if not found:
        say("no Ruby with Sidekiq is here; tests/interop/install.sh fetches three on Debian")
        return 1
    work = {ruby: [case for case in cases if recorder_of(case, ruby.version, found) == ruby] for ruby in found}
    without = [
        f"{version} {case['name']}"
        for version in sorted({ruby.version for ruby in found})
        for case in cases
        if is_for(case, version) and recorder_of(case, version, found) is None
    ]
    if without:
        say(f"{len(without)} captures need Rails, which their Ruby cannot load (Debian: ruby-rails): {without[0]}, …")
    with ExitStack() as afterwards:
        try:
            studios = [afterwards.enter_context(closing(Studio(ruby))) for ruby in found if work[ruby]]
        except ShopTaken as taken:
            say(str(taken))
            return 1
        with ThreadPoolExecutor(len(found)) as pool:
            wrong = list(pool.map(lambda studio: record_all(studio, work[studio.ruby], options), studios))
    return 1 if any(wrong) else 0


def is_for(case: dict[str, Any], version: str) -> bool:
    major = int(version.split(".")[0])
    return major in case.get("versions", [major])


def recorder_of(case: dict[str, Any], version: str, found: list[rubies.Ruby]) -> rubies.Ruby | None:
    """The Ruby that records a case of a version: the first that can; a host may have Sidekiq without Rails."""
    needs_rails = case.get("app") == RAILS_APP
    able = (ruby for ruby in found if ruby.version == version and (not needs_rails or has_rails(ruby)))
    return next(able, None) if is_for(case, version) else None


@functools.cache
def has_rails(ruby: rubies.Ruby) -> bool:
    return ruby.run(RAILS).returncode == 0


def record_all(studio: Studio, cases: list[dict[str, Any]], options: argparse.Namespace) -> int:
    """Record cases with one Ruby; how many failed or differ."""
    version = studio.ruby.version
    recorded = wrong = 0
    for case in cases:
        try:
            capture = record(studio, case)
        except NotReached as failure:
            wrong += 1
            say(f"{version} {case['name']}: {failure}")
            continue
        recorded += 1
        if options.compare:
            wrong += report(capture)
        path = path_of(capture, options.out or STORED)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(capture, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    say(f"{version}: {recorded} captures in {options.out or STORED}, {wrong} differ or failed")
    return wrong


def path_of(capture: dict[str, Any], under: Path) -> Path:
    """Where a capture is stored: in the folder of the gem that made it."""
    gem = f"sidekiq-{capture['sidekiq']}" if "sidekiq" in capture else f"json-{capture['json_gem']}"
    return under / gem / f"{capture['name']}.json"


def report(capture: dict[str, Any]) -> int:
    """Print where a capture's shape differs from the stored one; 1 if it does."""
    path = path_of(capture, STORED)
    about = f"{path.parent.name} {path.stem}"
    if not path.exists():
        say(f"{about}: no stored capture")
        return 1
    differences = shape.compare(json.loads(path.read_text(encoding="utf-8")), capture)
    for difference in differences:
        say(f"{about}: {difference}")
    return 1 if differences else 0


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Record compat_fixtures/ from real Sidekiqs.")
    parser.add_argument("--out", type=Path, help="write to DIR/sidekiq-VERSION instead of over the stored captures")
    parser.add_argument("--compare", action="store_true", help="say where the shape differs from the stored capture")
    parser.add_argument("--only", nargs="+", default=["*"], help="cases whose name matches, such as 'retry_*'")
    parser.add_argument("--sidekiq", type=int, help="this major version only")
    return parser.parse_args()

"""What real Sidekiq writes today has the shape of the stored captures, and the recorder notices when it has not."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from compat_fixtures.recorder import record, shape
from compat_fixtures.recorder.fleet import Studio
from tests.interop.ruby import Ruby

pytestmark = pytest.mark.interop

CASES = {case["name"]: case for case in json.loads((record.HERE / "cases.json").read_text(encoding="utf-8"))}


def stored(ruby: Ruby, name: str) -> dict[str, Any]:
    path = record.STORED / f"sidekiq-{ruby.version}" / f"{name}.json"
    if not path.exists():
        pytest.skip(f"no captures of Sidekiq {ruby.version} are stored")
    capture: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return capture


@pytest.fixture(scope="module")
def studio(ruby: Ruby) -> Iterator[Studio]:
    if ruby.root is None and not os.access("/srv", os.W_OK):
        pytest.skip("recording puts an application into /srv/shop, which needs root")
    opened = Studio(ruby)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "name", ["perform_async", "perform_in", "push_bulk_at_array", "numbers", "retry_first_failure", "poll_retry_basic"]
)
def test_a_fresh_capture_has_the_shape_of_the_stored_one(ruby: Ruby, studio: Studio, name: str) -> None:
    before = stored(ruby, name)

    assert shape.compare(before, record.record(studio, CASES[name])) == []


def test_every_case_has_its_stored_capture_and_is_named_once(ruby: Ruby) -> None:
    names = [name for name, case in CASES.items() if ruby.major in case.get("versions", [ruby.major])]
    missing = [name for name in names if stored(ruby, name)["name"] != name]

    assert missing == []
    assert len(names) > 200


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (('"retry":true,"queue":"default"', '"queue":"default","retry":true'), "retry"),
        (('"retry_count":0', '"retry_count":"0"'), "retry"),
        (('"error_class":"ArgumentError"', '"error_class":null'), "retry"),
    ],
    ids=["order of keys", "a type", "a value"],
)
def test_a_changed_entry_is_told(ruby: Ruby, change: tuple[str, str], told: str) -> None:
    before = stored(ruby, "retry_first_failure")
    after = copy.deepcopy(before)
    (entry,) = after["redis"]["retry"]["value"]
    assert change[0] in entry["member"]
    entry["member"] = entry["member"].replace(*change)

    (difference,) = shape.compare(before, after)

    assert difference.startswith(told)

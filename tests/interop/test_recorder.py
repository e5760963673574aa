"""What real Sidekiq writes today has the shape of the stored captures, and the recorder notices when it has not."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from compat_fixtures.recorder import capture, record, shape
from compat_fixtures.recorder.fleet import ShopTaken, Studio
from tests.interop.ruby import Ruby
from tests.servers import missing

pytestmark = pytest.mark.interop

CASES = {case["name"]: case for case in record.CASES}
RETRY, QUEUE = r"\"retry\":true", r"\"queue\":\"default\""  # as a dump of a dump has them
FOLDERS = sorted(path.name for gem in ("sidekiq", "json") for path in record.STORED.glob(f"{gem}-*"))


def stored(ruby: Ruby, name: str) -> dict[str, Any]:
    path = record.STORED / f"sidekiq-{ruby.version}" / f"{name}.json"
    if not path.exists():
        missing(f"no captures of Sidekiq {ruby.version} are stored; `make fixtures` records them")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def studio(ruby: Ruby) -> Iterator[Studio]:
    if ruby.root is None and not os.access("/srv", os.W_OK):
        missing("recording puts an application into /srv/shop, which needs root")
    opened = Studio(ruby)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "name",
    [
        *("perform_async", "perform_in", "push_bulk_at_array", "numbers", "retry_first_failure", "poll_retry_basic"),
        "aj_plain",
    ],
)
def test_a_fresh_capture_has_the_shape_of_the_stored_one(ruby: Ruby, studio: Studio, name: str) -> None:
    before = stored(ruby, name)
    if CASES[name].get("app") == capture.RAILS_APP and not record.has_rails(ruby):
        missing(f"the Ruby with Sidekiq {ruby.version} has no Rails; tests/interop/install.sh fetches it on Debian")

    assert shape.compare(before, capture.record(studio, CASES[name])) == []


def test_a_second_recorder_is_told_that_one_is_at_work(ruby: Ruby, studio: Studio) -> None:
    with pytest.raises(ShopTaken, match="another recorder is at work"):
        Studio(ruby)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_stored_capture_has_a_case_and_every_case_a_stored_capture(folder: str) -> None:
    gem, version = folder.split("-")
    of_gem = [case for case in record.CASES if (case["name"] == "float_text") == (gem == "json")]
    recorded = [case["name"] for case in of_gem if gem == "json" or record.is_for(case, version)]

    assert sorted(recorded) == sorted(path.stem for path in (record.STORED / folder).glob("*.json"))


@pytest.mark.parametrize(
    ("name", "before", "after", "told"),
    [
        ("retry_first_failure", f"{RETRY},{QUEUE}", f"{QUEUE},{RETRY}", "retry:"),
        ("retry_first_failure", r"\"retry_count\":0", r"\"retry_count\":\"0\"", "retry:"),
        ("retry_first_failure", r"\"error_class\":\"ArgumentError\"", r"\"error_class\":null", "retry:"),
        ("retry_first_failure", r"\"queue\":\"default\",", "", "retry:"),
        ("aj_plain", r"\"provider_job_id\":null,", "", "queue:default:"),
        ("aj_plain", r"\"sadd\" \"queues\"", r"\"srem\" \"queues\"", "commands:"),
        ("server_middleware_args", '"retry": true', '"retry": 1', "event gone:"),
        ("signal_ttin", 'heartbeat"', 'hearbeat"', "ttin_log_lines:"),
        ("cli_and_yaml_config", '"dead_max_jobs": 10000', '"dead_max_jobs": 1000', "cases:"),
    ],
    ids=[
        *("order of keys", "a type", "a value", "a missing key", "a missing key of ActiveJob", "a command"),
        *("an event", "a log line", "a setting"),
    ],
)
def test_a_changed_capture_is_told(ruby: Ruby, name: str, before: str, after: str, told: str) -> None:
    old = stored(ruby, name)
    text = json.dumps(old, ensure_ascii=False)
    assert before in text

    differences = shape.compare(old, json.loads(text.replace(before, after)))

    assert any(difference.startswith(told) for difference in differences)


def test_jobs_handed_back_at_once_may_change_places_but_not_with_a_waiting_one(ruby: Ruby) -> None:
    before = stored(ruby, "shutdown_requeue")
    swapped, moved = copy.deepcopy(before), copy.deepcopy(before)
    waiting, first, second = before["redis"]["queue:default"]["value"]
    swapped["redis"]["queue:default"]["value"] = [waiting, second, first]
    moved["redis"]["queue:default"]["value"] = [first, waiting, second]

    assert shape.compare(before, swapped) == []
    assert shape.compare(before, moved) != []


def test_a_killed_process_may_lack_its_last_events_but_not_its_first(ruby: Ruby) -> None:
    before = stored(ruby, "signal_usr2")
    cut, other = copy.deepcopy(before), copy.deepcopy(before)
    cut["events"] = before["events"][:-1]
    other["events"] = before["events"][1:]

    assert shape.compare(before, cut) == []
    assert shape.compare(before, other) != []

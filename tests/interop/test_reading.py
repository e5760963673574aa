"""Ruby's own API reads what a Python process wrote: sets, queues, running jobs, processes, statistics."""

from __future__ import annotations

import os
import re
import time
from typing import Any

import pytest

from tests.interop.conftest import Scene

pytestmark = pytest.mark.interop


def only(entries: list[dict[str, Any]], jid: str) -> dict[str, Any]:
    found = [entry for entry in entries if entry["jid"] == jid]
    assert len(found) == 1
    return found[0]


def test_ruby_reads_a_failed_job_in_its_retry_set(scene: Scene) -> None:
    entry = only(scene.fleet.ask("entries('retry')"), scene.retry)

    assert entry["klass"] == entry["display_class"] == "Py::FailsWithBacktrace"
    assert entry["args"] == ["no stock ✓"]
    assert entry["queue"] == "python"
    assert entry["tags"] == ["slow", "billing"]
    assert entry["error"] is True
    assert entry["error_class"].endswith("OrderError")
    assert entry["error_message"] == "no stock ✓"
    assert entry["retry_count"] == 0
    assert entry["retried_at"] is None


def test_ruby_reads_python_s_times_in_its_own_unit(scene: Scene) -> None:
    entry = only(scene.fleet.ask("entries('retry')"), scene.retry)
    now = time.time()

    assert scene.begun < entry["created_at"] <= entry["failed_at"] <= now
    assert 0 <= entry["latency"] < now - scene.begun + 1
    # the first retry comes 15 s after the failure, plus up to 9 s of jitter
    assert 15 <= scene.retry_at - entry["failed_at"] < 25.1
    failed_at = next(p for p in scene.fleet.members("retry") if p["jid"] == scene.retry)["failed_at"]
    assert isinstance(failed_at, int if scene.fleet.major >= 8 else float)


def test_ruby_unpacks_python_s_backtrace(scene: Scene) -> None:
    whole = only(scene.fleet.ask("entries('retry')"), scene.retry)["backtrace"]
    three = only(scene.fleet.ask("entries('dead')"), scene.dead)["backtrace"]

    assert re.search(r"handlers\.py:\d+:in .deeper", whole[0])
    assert re.search(r"handlers\.py:\d+:in .fails_with_backtrace", whole[1])
    assert 1 <= len(three) <= 3
    assert re.search(r"handlers\.py:\d+:in .deeper", three[0])


def test_ruby_reads_an_exhausted_job_in_its_dead_set(scene: Scene) -> None:
    entry = only(scene.fleet.ask("entries('dead')"), scene.dead)

    assert (entry["klass"], entry["args"], entry["error_message"]) == ("Py::Dies", ["gone"], "gone")
    assert entry["retry_count"] == 0
    assert abs(entry["at"] - entry["failed_at"]) < 1
    assert scene.begun < entry["failed_at"] <= time.time()


def test_ruby_measures_the_latency_of_a_queue_that_python_filled(scene: Scene) -> None:
    dialect = str(scene.fleet.major)
    pushed_at = time.time()
    jid = scene.fleet.push_from_python("Ruby::Unserved", [1], queue="unserved", wire=dialect)
    latency = scene.fleet.ask("Sidekiq::Queue.new('unserved').latency")

    assert 0 <= latency <= time.time() - pushed_at + 0.5
    first = scene.fleet.ask(
        "Sidekiq::Queue.new('unserved').map { |job| [job.jid, job.klass, job.args, job.enqueued_at] }"
    )
    assert first[0][:3] == [jid, "Ruby::Unserved", [1]]
    assert pushed_at - 0.5 <= first[0][3] <= time.time()
    assert scene.fleet.ask("Sidekiq::Queue.new('unserved').find_job(jid).delete", jid=jid)
    assert scene.fleet.redis.llen("queue:unserved") == 0


def test_ruby_sees_the_job_that_python_is_running(scene: Scene) -> None:
    work = [item for item in scene.fleet.ask("work") if item["payload"]["jid"] == scene.busy]

    assert len(work) == 1
    assert work[0]["identity"] == scene.python.identity
    assert work[0]["queue"] == "python"
    assert work[0]["payload"]["class"] == "Py::Busy"
    assert scene.begun - 1 < work[0]["run_at"] <= time.time()


def test_ruby_lists_the_python_process_beside_its_own(scene: Scene) -> None:
    seen = {process["identity"]: process for process in scene.fleet.ask("processes")}
    python = seen[scene.python.identity]

    assert len(seen) == 2
    assert python["pid"] == scene.python.process.pid
    assert python["hostname"] == os.uname().nodename
    assert python["queues"] == ["python", "other"]
    assert python["busy"] == 1
    assert python["concurrency"] == 3
    assert python["quiet"] == "false"
    assert python["stopping"] is False
    assert python["rss"] > 1000
    assert scene.begun < python["started_at"] < python["beat"] <= time.time()
    if scene.fleet.major >= 7:
        assert python["version"].startswith("pykiq-")
        assert python["embedded"] is False
    if scene.fleet.major >= 8:
        assert python["capsules"]["default"]["weights"] == {"python": 0, "other": 0}


def test_ruby_s_statistics_count_python_s_jobs(scene: Scene) -> None:
    stats = scene.fleet.ask("stats")

    # the failed one and the dead one have ended, the busy one has not
    assert stats["processed"] == 2
    assert stats["failed"] == 2
    assert list(stats["history"]["processed"].values()) == [2]
    assert list(stats["history"]["failed"].values()) == [2]
    assert (stats["retry_size"], stats["dead_size"], stats["scheduled_size"]) == (1, 1, 1)
    assert stats["processes_size"] == 2
    assert stats["workers_size"] == 1
    assert stats["default_queue_latency"] == 0

"""Ruby's Metrics page shows Python's classes: their counts, times and histograms, and where a deployment was."""

from __future__ import annotations

from typing import Any

import pytest

from pykiq.cli import main
from tests.interop.conftest import Fleet

pytestmark = pytest.mark.interop

QUERY = """
    require "sidekiq/metrics/query"
    result = Sidekiq::Metrics::Query.new.top_jobs(minutes: 10)
    {"totals" => result.job_results.transform_values(&:totals), "marks" => result.marks.map(&:label)}
"""
FOR_JOB = """
    result = Sidekiq::Metrics::Query.new.for_job(name, minutes: 10).job_results[name]
    # Keyed by minute, each the counters from the slowest to the fastest.
    {"totals" => result.totals, "hist" => result.hist.values.reduce { |a, b| a.zip(b).map(&:sum) }}
"""


@pytest.fixture
def pages(fleet: Fleet) -> Fleet:
    if fleet.major < 7:
        pytest.skip("Sidekiq 6 has no Metrics page")
    return fleet


def test_ruby_s_query_reads_what_python_counted(pages: Fleet) -> None:
    python = pages.python("-q", "python")
    for number in range(3):
        pages.push_from_python("Py::Note", [number], queue="python")
    pages.push_from_python("Py::Dies", ["no"], queue="python", retry=0)
    pages.wait(lambda: len(pages.notes("python")) == 3 and pages.redis.zcard("dead"), what="four executions")
    assert python.stop() == 0

    seen: Any = pages.ask(QUERY)["totals"]
    assert (seen["Py::Note"]["p"], seen["Py::Note"].get("f", 0)) == (3, 0)
    assert (seen["Py::Dies"]["p"], seen["Py::Dies"]["f"]) == (1, 1)
    one = pages.ask(FOR_JOB, name="Py::Note")
    assert sum(one["hist"]) == 3
    assert max(range(26), key=one["hist"].__getitem__) >= 20, "fast jobs are at the end, as Ruby turns it around"


def test_the_pages_show_python_s_classes(pages: Fleet) -> None:
    python = pages.python("-q", "python")
    pages.push_from_python("Py::Note", [1], queue="python")
    pages.wait(lambda: pages.notes("python"), what="the job")
    assert python.stop() == 0
    for path in ("/metrics", "/metrics/Py::Note"):
        got = pages.ask("page('GET', path)", path=path)
        assert got["status"] == 200
        assert "Py::Note" in got["body"]


def test_a_python_process_beside_ruby_writes_that_version_s_keys_only(pages: Fleet) -> None:
    pages.ruby("-q", "ruby")
    python = pages.python("-q", "python")
    pages.push_from_python("Py::Note", [1], queue="python")
    pages.wait(lambda: pages.notes("python"), what="the job")
    assert python.stop() == 0
    days = {len(key.split(b"|")[1]) for key in pages.redis.keys("j|*")}
    assert days == {8 if pages.major == 7 else 6}


def test_a_mark_of_python_s_command_line_is_in_the_charts(pages: Fleet) -> None:
    assert main(["mark", "release 42", "--redis", pages.url]) == 0
    assert "release 42" in pages.ask(QUERY)["marks"]

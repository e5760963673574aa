"""Every page of Sidekiq's Web UI renders over a Python process and its jobs, and its buttons work on them."""

from __future__ import annotations

import json

import pytest

from tests.interop.conftest import Entries, Fleet, Scene

pytestmark = pytest.mark.interop


def page(fleet: Fleet, path: str) -> str:
    """The body of a page that must render."""
    got = fleet.ask("page('GET', path)", path=path)
    assert got["status"] == 200, (path, got)
    assert got["body"].strip()
    return str(got["body"])


def post(fleet: Fleet, path: str, **form: str) -> None:
    """Press a button; the Web UI answers with a redirect."""
    got = fleet.ask("page('POST', path, form)", path=path, form=form)
    assert got["status"] == 302, (path, got)


def key_of(fleet: Fleet, where: str, jid: str) -> str:
    return str(fleet.ask("page_key(set, jid)", set=where, jid=jid))


def test_the_dashboard_renders(scene: Scene) -> None:
    assert "Dashboard" in page(scene.fleet, "/")


def test_the_statistics_as_json_count_python_s_jobs(scene: Scene) -> None:
    stats = json.loads(page(scene.fleet, "/stats"))["sidekiq"]

    assert (stats["processed"], stats["failed"]) == (2, 2)
    assert (stats["busy"], stats["processes"]) == (1, 2)
    assert (stats["retries"], stats["scheduled"], stats["dead"]) == (1, 1, 1)


def test_the_busy_page_shows_the_python_process_and_its_job(scene: Scene) -> None:
    body = page(scene.fleet, "/busy")

    assert scene.python.identity in body
    assert "python" in body
    assert scene.busy in body
    assert "Py::Busy" in body


def test_the_queue_pages_show_a_job_that_python_pushed(scene: Scene) -> None:
    scene.fleet.push_from_python("Ruby::Waiting", ["✓", None, {"a": 1}], queue="shown", tags=["red"])

    assert "shown" in page(scene.fleet, "/queues")
    body = page(scene.fleet, "/queues/shown")
    assert "Ruby::Waiting" in body
    assert "✓" in body
    scene.fleet.redis.delete("queue:shown")


def test_the_retry_pages_show_class_error_tags_and_backtrace(scene: Scene) -> None:
    body = page(scene.fleet, "/retries")
    for shown in ("Py::FailsWithBacktrace", "OrderError", "no stock ✓", "billing", scene.retry):
        assert shown in body

    detail = page(scene.fleet, f"/retries/{key_of(scene.fleet, 'retry', scene.retry)}")
    for shown in ("Py::FailsWithBacktrace", scene.retry, "OrderError", "handlers.py", "deeper"):
        assert shown in detail


def test_the_scheduled_pages_show_the_job(scene: Scene) -> None:
    body = page(scene.fleet, "/scheduled")
    detail = page(scene.fleet, f"/scheduled/{key_of(scene.fleet, 'schedule', scene.scheduled)}")

    assert "Py::Note" in body
    assert "Py::Note" in detail
    assert scene.scheduled in detail


def test_the_dead_pages_show_the_job(scene: Scene) -> None:
    body = page(scene.fleet, "/morgue")
    detail = page(scene.fleet, f"/morgue/{key_of(scene.fleet, 'dead', scene.dead)}")

    assert "Py::Dies" in body
    assert "OrderError" in body
    assert scene.dead in detail
    assert "handlers.py" in detail


def test_the_dead_page_renders_over_what_was_no_job_at_all(fleet: Fleet) -> None:
    """Ruby breaks on an entry that is JSON and no object, whoever wrote it (WIRE.md §21)."""
    odd = [b"[1,2]", b"null", b"5", b"true", b'"text"', b"", b"{broken", b"1e400", b"\xff"]
    fleet.redis.rpush("queue:python", *odd)
    fleet.python("-q", "python")
    fleet.wait(lambda: fleet.redis.zcard("dead") == len(odd), what="all of it dead")

    body = page(fleet, "/morgue")
    assert "not a job: [1,2]" in body
    assert fleet.ask("Sidekiq::DeadSet.new.map { |entry| entry.jid }") == [None] * len(odd)


def test_the_metrics_pages_render(scene: Scene) -> None:
    if scene.fleet.major < 7:
        assert scene.fleet.ask("page('GET', '/metrics')")["status"] == 404  # 6.4 has none
        return
    assert "Metrics" in page(scene.fleet, "/metrics")
    assert "Py::Dies" in page(scene.fleet, "/metrics/Py::Dies")


def search(fleet: Fleet, where: str, text: str) -> str:
    """The page of what a search finds; each version has it at another address, 6.4 has none."""
    if fleet.major == 7:
        found = fleet.ask("page('POST', path, 'substr' => text)", path=f"/filter/{where}", text=text)
    else:
        path = f"/{where.replace('dead', 'morgue')}?substr={text}"
        found = fleet.ask("page('GET', path)", path=path)
    assert found["status"] == 200
    return str(found["body"])


def test_a_search_finds_python_s_entries(scene: Scene) -> None:
    if scene.fleet.major < 7:
        assert scene.fleet.ask("page('GET', '/filter/retries')")["status"] == 404  # 6.4 has none
        return
    for where, klass, jid in (
        ("retries", "Py::FailsWithBacktrace", scene.retry),
        ("scheduled", "Py::Note", scene.scheduled),
        ("dead", "Py::Dies", scene.dead),
    ):
        assert klass in search(scene.fleet, where, jid)
        assert klass not in search(scene.fleet, where, "f" * 24)


def test_the_buttons_work_on_entries_that_python_wrote(python_entries: Entries, fleet: Fleet) -> None:
    for key, entries in python_entries.items():
        fleet.redis.zadd(key, dict(entries))

    first, second = (job["jid"] for job in fleet.members("retry"))
    post(fleet, f"/retries/{key_of(fleet, 'retry', first)}", retry="Retry Now")
    assert [job["jid"] for job in fleet.members("queue:python")] == [first]
    post(fleet, "/retries", **{"key[]": key_of(fleet, "retry", second), "delete": "Delete"})
    assert fleet.members("retry") == []

    first, second = (job["jid"] for job in fleet.members("schedule"))
    post(fleet, "/scheduled", **{"key[]": key_of(fleet, "schedule", first), "add_to_queue": "Add to queue"})
    assert first in [job["jid"] for job in fleet.members("queue:python")]
    post(fleet, f"/scheduled/{key_of(fleet, 'schedule', second)}", delete="Delete")
    assert fleet.members("schedule") == []

    first, second = (job["jid"] for job in fleet.members("dead"))
    post(fleet, f"/morgue/{key_of(fleet, 'dead', first)}", retry="Retry Now")
    assert first in [job["jid"] for job in fleet.members("queue:python")]
    post(fleet, "/morgue", **{"key[]": key_of(fleet, "dead", second), "delete": "Delete"})
    assert fleet.members("dead") == []
    assert fleet.redis.llen("queue:python") == 3

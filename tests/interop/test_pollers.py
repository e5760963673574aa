"""A Ruby and a Python process take over each other's scheduled and retried jobs."""

from __future__ import annotations

import time

import pytest

from tests.interop.conftest import Fleet

pytestmark = pytest.mark.interop

SOON = 0.5


def test_ruby_s_poller_moves_what_python_scheduled_and_python_runs_it(fleet: Fleet) -> None:
    jid = fleet.push_from_python("Py::Note", ["später ✓", 2**70], queue="python", at=time.time() + SOON)
    fleet.ruby("-q", "ruby", "-c", "1")
    fleet.wait(lambda: fleet.redis.llen("queue:python") == 1, what="Ruby's poller")
    assert fleet.redis.zcard("schedule") == 0

    fleet.python("-q", "python", "-c", "1")

    fleet.wait(fleet.notes, what="the job in Python")
    assert fleet.notes() == [{"by": "python", "jid": jid, "args": ["später ✓", 2**70]}]


def test_python_s_poller_moves_what_ruby_scheduled_and_ruby_runs_it(fleet: Fleet) -> None:
    jid = fleet.ask(f"RubyNote.perform_in({SOON}, 'später ✓', 2**70)")
    fleet.python("-q", "python", "-c", "1")
    fleet.wait(lambda: fleet.redis.llen("queue:ruby") == 1, what="Python's poller")
    assert fleet.redis.zcard("schedule") == 0
    (moved,) = fleet.members("queue:ruby")
    if fleet.major >= 8:
        assert isinstance(moved["enqueued_at"], int)

    fleet.kill_all()
    fleet.ruby("-q", "ruby", "-c", "1")

    fleet.wait(fleet.notes, what="the job in Ruby")
    assert fleet.notes() == [{"by": "ruby", "jid": jid, "args": ["später ✓", 2**70]}]


def test_ruby_s_poller_moves_what_python_failed_and_python_tries_it_again(fleet: Fleet) -> None:
    jid = fleet.push_from_python("Py::Fails", ["no"], queue="python")
    worker = fleet.python("-q", "python", "-c", "1")
    fleet.wait(lambda: fleet.redis.zcard("retry") == 1, what="the first failure")
    assert worker.stop() == 0
    fleet.hurry("retry")
    fleet.ruby("-q", "ruby", "-c", "1")
    fleet.wait(lambda: fleet.redis.llen("queue:python") == 1, what="Ruby's poller")
    fleet.kill_all()

    fleet.python("-q", "python", "-c", "1")

    fleet.wait(lambda: fleet.redis.zcard("retry") == 1, what="the second failure")
    (entry,) = fleet.members("retry")
    assert (entry["jid"], entry["retry_count"]) == (jid, 1)
    assert len(fleet.notes("python")) == 2


def test_python_s_poller_moves_what_ruby_failed_and_ruby_tries_it_again(fleet: Fleet) -> None:
    jid = fleet.ask("Shared::Flaky.perform_async(1)")
    fleet.ruby("-q", "shared", "-c", "1", POLL="60")
    fleet.wait(lambda: fleet.redis.zcard("retry") == 1, what="the first failure")
    fleet.kill_all()
    fleet.hurry("retry")
    fleet.python("-q", "python", "-c", "1")
    fleet.wait(lambda: fleet.redis.llen("queue:shared") == 1, what="Python's poller")
    fleet.kill_all()
    fleet.redis.set("shared:ok", 1)

    fleet.ruby("-q", "shared", "-c", "1")

    fleet.wait(lambda: len(fleet.notes()) == 2, what="the second try in Ruby")
    assert [note["jid"] for note in fleet.notes("ruby")] == [jid, jid]
    assert fleet.redis.zcard("retry") == 0


def test_both_pollers_together_move_every_job_exactly_once(fleet: Fleet) -> None:
    fleet.ruby("-q", "ruby", "-c", "2")
    fleet.python("-q", "python", "-c", "2")
    at = time.time() + SOON
    sent = fleet.ask("40.times.map { |i| RubyNote.perform_at(at, i) }", at=at)
    sent += [fleet.push_from_python("Py::Note", [i], queue="python", at=at) for i in range(40)]

    fleet.wait(lambda: len(fleet.notes()) >= 80, what="all eighty jobs")

    assert sorted(note["jid"] for note in fleet.notes()) == sorted(sent)
    assert fleet.redis.zcard("schedule") == 0

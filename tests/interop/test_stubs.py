"""Stubs in real Ruby: they load, push as Python would, and hand over what a Ruby process takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.interop.conftest import Fleet
from tests.interop.ruby import RubyError
from tests.interop.stubs import python_beside, write_stubs

pytestmark = pytest.mark.interop

ARGS: list[Any] = ["größe ✓ 💥", 2**70, 1e20, 1.5e-07, {"z": [None, True], "a": {}}]


def test_ruby_pushes_with_the_options_that_the_handler_declares(fleet: Fleet) -> None:
    fleet.ask("require path", path=write_stubs(fleet))
    jid = fleet.ask("Mixed::Deep::PyJob.perform_async(1)")
    [job] = fleet.members("queue:mixed")
    assert (job["class"], job["jid"], job["queue"], job["retry"]) == ("Mixed::Deep::PyJob", jid, "mixed", 7)
    assert (job["tags"], job["x_lock"]) == (["größe ✓", "#{raise}"], {"a": None, "f": 1e-7})
    with pytest.raises(RubyError, match="NotImplementedError: PyAsyncJob runs in Python"):
        fleet.ask("PyAsyncJob.new.perform(1)")


def test_a_job_that_ruby_takes_goes_to_python_s_queue_with_every_key(fleet: Fleet) -> None:
    stubs = write_stubs(fleet)
    more = {"queue": "mixed", "x_new": {"a": [1.0, None]}, "retry_count": 3}
    fleet.push_from_python("Mixed::Deep::PyJob", ARGS, wire=str(fleet.major), **more)
    [pushed] = fleet.redis.lrange("queue:mixed", 0, -1)
    fleet.ruby("-q", "mixed", "-c", "1", EXTRA=stubs)
    fleet.wait(lambda: fleet.redis.llen("queue:python"), what="the handover")
    assert fleet.redis.lrange("queue:python", 0, -1) == [pushed.replace(b'"queue":"mixed"', b'"queue":"python"')]
    assert b"python" in fleet.redis.smembers("queues")
    assert fleet.redis.exists("queue:mixed", "retry", "dead", "schedule") == 0


def test_an_active_job_that_ruby_takes_is_handed_over_and_runs_in_python(fleet: Fleet) -> None:
    stubs = write_stubs(fleet)
    fleet.ask("require path", path=f"{fleet.home.path}/active_jobs")
    fleet.ask("require path", path=stubs)
    fleet.ask("PyActiveJob.perform_later(7, unit: :boxes)")
    [pushed] = fleet.redis.lrange("queue:mixed", 0, -1)
    assert json.loads(pushed)["args"][0]["priority"] == 3
    fleet.ruby("-q", "mixed", "-c", "1", EXTRA=stubs, ACTIVE_JOB="1")
    fleet.wait(lambda: fleet.redis.llen("queue:python"), what="the handover")
    assert fleet.redis.lrange("queue:python", 0, -1) == [pushed.replace(b'"queue":"mixed"', b'"queue":"python"')]
    python_beside(fleet, "-q", "python", "-c", "1")
    fleet.wait(fleet.notes, what="Python's note")
    assert [note["args"] for note in fleet.notes("python")] == [[7, "boxes"]]


def test_a_job_of_ruby_s_own_is_none_of_the_stubs_business(fleet: Fleet) -> None:
    jid = fleet.ask("RubyNote.set(queue: 'mixed').perform_async(1)")
    fleet.ruby("-q", "mixed", "-c", "1", EXTRA=write_stubs(fleet))
    fleet.wait(lambda: fleet.notes("ruby"), what="Ruby's note")
    assert [note["jid"] for note in fleet.notes()] == [jid]


def test_a_ruby_that_serves_python_s_own_queue_fails_the_job_instead_of_going_round_in_circles(fleet: Fleet) -> None:
    fleet.push_from_python("Mixed::Deep::PyJob", [1], queue="python")
    fleet.ruby("-q", "python", "-c", "1", EXTRA=write_stubs(fleet), POLL="60")
    fleet.wait(lambda: fleet.members("retry"), what="the failure")
    [failed] = fleet.members("retry")
    assert "queue python is Python's alone, but this Sidekiq serves it" in failed["error_message"]


def test_python_reads_the_classes_of_a_ruby_application(fleet: Fleet) -> None:
    from pykiq.cli.stubs_source import jobs_in

    source = (fleet.home.outside / "jobs.rb").read_text("utf-8")
    read = {job.name: job.options for job in jobs_in([source])}
    assert set(read) == {"EchoJob", "RubyNote", "Shared::Flaky"}
    for name, options in read.items():
        known = fleet.ask(f"{name}.get_sidekiq_options")
        assert json.loads(json.dumps(known)) == {"retry": True, "queue": "default"} | options

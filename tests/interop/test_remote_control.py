"""Ruby's ProcessSet quiets and stops a Python process."""

from __future__ import annotations

import pytest

from tests.interop.conftest import Fleet

pytestmark = pytest.mark.interop


def test_ruby_quiets_and_then_stops_a_python_process(fleet: Fleet) -> None:
    worker = fleet.python("-q", "python", "-c", "2", "-t", "3")
    identity = worker.identity

    # When Ruby quiets it, Ruby sees it quiet, and it takes nothing more
    fleet.ask("process(identity).quiet!", identity=identity)
    fleet.wait(lambda: fleet.ask("process(identity).stopping?", identity=identity), 25, "quiet, as Ruby sees it")
    fleet.ask("Py::Note.perform_async(1)")

    # When Ruby stops it, it ends well and leaves nothing behind
    fleet.ask("process(identity).stop!", identity=identity)
    assert worker.process.wait(25) == 0
    assert fleet.ask("processes") == []
    assert fleet.ask("work") == []
    assert fleet.in_flight() == []
    assert fleet.redis.llen("queue:python") == 1
    assert fleet.notes() == []


def test_ruby_stops_a_python_process_whose_job_goes_back_to_its_queue(fleet: Fleet) -> None:
    jid = fleet.ask("Sidekiq::Client.push('class' => 'Py::Busy', 'queue' => 'python', 'args' => ['/nowhere/at/all'])")
    raw = fleet.redis.lrange("queue:python", 0, -1)
    worker = fleet.python("-q", "python", "-c", "2", "-t", "1")
    fleet.wait(lambda: fleet.redis.llen("queue:python") == 0, what="the job to be taken")

    fleet.ask("process(identity).stop!", identity=worker.identity)

    assert worker.process.wait(25) == 0
    assert fleet.redis.lrange("queue:python", 0, -1) == raw
    assert fleet.ask("Sidekiq::Queue.new('python').map(&:jid)") == [jid]
    assert fleet.in_flight() == []
    assert fleet.ask("processes") == []

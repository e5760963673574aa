"""Ruby's ProcessSet and the Web UI's buttons quiet and stop Python processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import redis as redis_py

from tests.interop.conftest import Fleet, fleet_on
from tests.interop.ruby import Home, Program
from tests.servers import Server

pytestmark = pytest.mark.interop

A_FEW_BEATS = 45  # a process reads one command a beat, which is every 5 s with 6.4 and every 10 s with the others


@dataclass
class Commanded:
    """Three Python processes that have been given commands at the same time: the waits are shared."""

    fleet: Fleet
    quieted: Program  # by ProcessSet
    stopped: Program  # by ProcessSet, with a job that does not end
    pressed: Program  # by the Web UI's buttons, Quiet and then Stop
    raw: bytes  # the job that does not end


@pytest.fixture(scope="module")
def commanded(real_redis: Server, home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commanded]:
    with fleet_on(real_redis, home, 3, tmp_path_factory.mktemp("commanded")) as fleet:
        fleet.ruby("-q", "ruby", "-c", "1", POLL="60")
        quieted = fleet.python("-q", "python", "-c", "2", "-t", "1")
        pressed = fleet.python("-q", "other", "-c", "2", "-t", "1")
        fleet.ask("Sidekiq::Client.push('class' => 'Py::Busy', 'queue' => 'long', 'args' => ['/nowhere/at/all'])")
        (raw,) = fleet.redis.lrange("queue:long", 0, -1)
        stopped = fleet.python("-q", "long", "-c", "2", "-t", "1")
        fleet.wait(lambda: fleet.redis.llen("queue:long") == 0, what="the job to be taken")
        fleet.ask("process(identity).quiet!", identity=quieted.identity)
        fleet.ask("process(identity).stop!", identity=stopped.identity)
        for button in ("quiet", "stop"):
            form = {"identity": pressed.identity, button: button.capitalize()}
            assert fleet.ask("page('POST', '/busy', form)", form=form)["status"] == 302
        yield Commanded(fleet, quieted, stopped, pressed, raw)


def in_flight_of(client: redis_py.Redis, program: Program) -> list[bytes]:
    return [key for key in client.keys("pykiq:inflight:*") if program.identity in key.decode()]


def test_ruby_stops_a_python_process_whose_job_goes_back_to_its_queue(commanded: Commanded) -> None:
    fleet, stopped = commanded.fleet, commanded.stopped

    assert stopped.process.wait(A_FEW_BEATS) == 0
    assert fleet.redis.lrange("queue:long", 0, -1) == [commanded.raw]
    assert in_flight_of(fleet.redis, stopped) == []
    assert stopped.identity not in [process["identity"] for process in fleet.ask("processes")]


def test_ruby_quiets_and_then_stops_a_python_process(commanded: Commanded) -> None:
    fleet, quieted = commanded.fleet, commanded.quieted

    # When it is quiet, Ruby sees that, and it takes nothing more
    fleet.wait(
        lambda: fleet.ask("process(identity).stopping?", identity=quieted.identity),
        A_FEW_BEATS,
        "quiet, as Ruby sees it",
    )
    fleet.ask("Py::Note.perform_async(1)")

    # When Ruby stops it, it ends well and leaves nothing behind
    fleet.ask("process(identity).stop!", identity=quieted.identity)
    assert quieted.process.wait(A_FEW_BEATS) == 0
    assert quieted.identity not in [process["identity"] for process in fleet.ask("processes")]
    assert in_flight_of(fleet.redis, quieted) == []
    assert fleet.redis.llen("queue:python") == 1
    assert fleet.notes() == []


def test_the_quiet_and_stop_buttons_of_the_web_page_end_a_python_process(commanded: Commanded) -> None:
    assert commanded.pressed.process.wait(A_FEW_BEATS) == 0
    body = commanded.fleet.ask("page('GET', '/busy')")["body"]
    assert commanded.pressed.identity not in body

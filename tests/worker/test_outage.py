"""Redis away from a whole process: one line when it goes, one when it is back, and nothing else."""

from __future__ import annotations

import time

import pytest

from pykiq.store import outage
from tests.logs import capture_logs
from tests.servers import Server, wait_until
from tests.worker.stage import registry
from tests.worker.test_process import Running

pytestmark = pytest.mark.system


def test_a_process_tells_of_an_outage_once_and_of_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "REMIND", 3.0)
    server = Server().start()
    ran: list[int] = []
    try:
        with capture_logs() as lines:
            one = Running(server.url, registry(Job=ran.append), sweep_interval=0.5, lease_ttl=4.5).start()
            assert one.process.started.wait(10)
            lines.clear()
            server.kill()
            begun = time.monotonic()
            wait_until(lambda: time.monotonic() - begun > 7, 20, "seven seconds")
            server.start()
            wait_until(lambda: any(line["event"] == "redis_answers_again" for line in lines), 30, "the end of it")
            again = time.monotonic()
            wait_until(lambda: time.monotonic() - again > 3, 20, "three more seconds")
            told = [line["event"] for line in lines if line["log_level"] != "debug"]
            assert one.stop() == 0
    finally:
        server.stop()
    assert told == ["redis_does_not_answer"] * 3 + ["redis_answers_again"]

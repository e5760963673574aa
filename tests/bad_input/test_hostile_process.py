"""Handlers that spoil their process: streams closed, directory gone, threads left behind. It works on, and stops."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py

from tests.bad_input.bench import payload
from tests.servers import Server, wait_until

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]
DEEDS = (
    "terminate_a_process",  # before the one that blocks signals: who is forked inherits that
    *("change_locale", "change_directory", "change_signals", "block_signals", "close_streams", "silence_logging"),
    *("spoil_defaults", "fork", "fork_and_exit", "fork_and_raise", "fork_and_return", "fork_on_the_loop"),
    "dump_stacks",
)


class Spoilt:
    """A `pykiq run` process for all deeds, one after the other."""

    def __init__(self, folder: Path, url: str, client: redis_py.Redis) -> None:
        self.folder = folder
        self.redis = client
        self._number = 0
        environment = os.environ | {"HOSTILE_FOLDER": str(folder), "PYTHONPATH": str(ROOT)}
        handlers = str(Path(__file__).with_name("hostile_process.py"))
        command = [sys.executable, "-m", "pykiq", "run", "--require", handlers, "--redis", url, "-c", "2", "-t", "2"]
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)

    def goes_on(self) -> None:
        self._number += 1
        self.redis.lpush("queue:default", payload("GoodJob", [self._number]))
        mark = self.folder / f"good-{self._number}"
        wait_until(lambda: mark.exists() or self.process.poll() is not None, 20, "the good job after the bad one")
        assert self.process.poll() is None, (self.folder / "log").read_text(errors="replace")[-2000:]


@pytest.fixture(scope="module")
def spoilt(own_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spoilt]:
    with own_server.client() as client:
        client.select(2)
        client.flushdb()
        made = Spoilt(tmp_path_factory.mktemp("spoilt"), own_server.url.replace("/0", "/2"), client)
        try:
            made.goes_on()
            yield made
        finally:
            made.process.kill()
            made.process.wait()


@pytest.mark.parametrize("deed", DEEDS)
def test_the_process_works_on(spoilt: Spoilt, deed: str) -> None:
    name = "AsyncHostileJob" if deed.endswith("_on_the_loop") else "HostileJob"
    spoilt.redis.lpush("queue:default", payload(name, [deed]))
    for _ in range(3):  # more jobs than threads: the spoilt one runs some of them
        spoilt.goes_on()
    spoilt.redis.lpush("queue:default", payload("FailJob"))

    def failed() -> dict[str, str]:
        jobs = [json.loads(raw) for raw in spoilt.redis.zrange("retry", 0, -1)]
        return {job["class"]: job["error_message"] for job in jobs}

    wait_until(lambda: "FailJob" in failed(), 10, "the retry of a failing job")
    wait_until(lambda: not list(spoilt.redis.scan_iter("pykiq:inflight:*")), 10, "the end of the deed")
    assert failed()["FailJob"] == "ünïcödé"
    assert (name in failed()) == (deed == "change_signals")  # only the main thread may change those
    spoilt.redis.delete("retry")


def test_it_stops_with_0_after_all_that_also_with_a_thread_left_behind(spoilt: Spoilt) -> None:
    spoilt.redis.lpush("queue:default", payload("HostileJob", ["leave_a_thread"]))
    spoilt.goes_on()
    spoilt.process.terminate()
    assert spoilt.process.wait(15) == 0
    assert list(spoilt.redis.scan_iter("pykiq:inflight:*")) == []

"""docs/deploy.md, "Two releases on one machine": a new worker beside an old one, each with a port of its own."""

from __future__ import annotations

import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis as redis_py

from tests.cli.command import pykiq_command, start
from tests.servers import free_port, wait_until

pytestmark = pytest.mark.system

FLAGS = pytest.mark.parametrize("flags", [(), ("--processes", "1")], ids=["alone", "swarm"])
Worker = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def worker(tmp_path: Path, redis: redis_py.Redis, redis_url: str) -> Iterator[Worker]:
    """Start a worker with its metrics at a port."""
    (tmp_path / "jobs.py").write_text("import pykiq\n@pykiq.job('A')\ndef a(): pass\n")
    made: list[subprocess.Popen[bytes]] = []

    def begin(port: int, *flags: str) -> subprocess.Popen[bytes]:
        port_and_rest = ("--metrics-port", str(port), "--metrics-host", "127.0.0.1", "-t", "2", *flags)
        made.append(start("run", "-r", "jobs", *port_and_rest, cwd=tmp_path, log=tmp_path / "log", REDIS_URL=redis_url))
        return made[-1]

    yield begin
    for one in made:
        one.kill()
        one.wait()


def ready(port: int) -> int | None:
    """What a probe is told; None when nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return None


@FLAGS
def test_the_new_one_takes_over_beside_the_old_one(worker: Worker, flags: tuple[str, ...]) -> None:
    one, other = free_port(), free_port()
    old = worker(one, *flags)
    wait_until(lambda: ready(one) == 200, 30, "the old one")
    new = worker(other, *flags)
    wait_until(lambda: ready(other) == 200, 30, "the new one")
    assert ready(one) == 200
    old.send_signal(signal.SIGTSTP)
    wait_until(lambda: ready(one) == 503, 20, "the old one being quiet")
    assert ready(other) == 200
    old.terminate()
    assert old.wait(30) == 0
    assert (ready(one), ready(other)) == (None, 200)
    worker(one, *flags)  # the next deployment
    wait_until(lambda: ready(one) == 200, 30, "the port being there again")
    assert new.poll() is None


@FLAGS
def test_a_second_one_on_the_same_port_says_what_to_do_and_may_be_tried_again(
    worker: Worker, flags: tuple[str, ...], tmp_path: Path, redis_url: str
) -> None:
    port = free_port()
    worker(port, *flags)
    wait_until(lambda: ready(port) == 200, 30, "the first one")
    arguments = ("run", "-r", "jobs", "--metrics-port", str(port), "--metrics-host", "127.0.0.1", *flags)
    second = pykiq_command(*arguments, cwd=tmp_path, REDIS_URL=redis_url)
    assert second.returncode == 1  # not 2, after which the unit of examples/deploy would not try again
    assert second.stderr.splitlines()[-1] == (
        f"pykiq: the metrics port 127.0.0.1:{port} cannot be opened: Address already in use; "
        "choose another with --metrics-port, or 0 for any free one"
    )
    assert ready(port) == 200

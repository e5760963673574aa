"""The benchmarks run and count what they say; their results find their places in the documents. No time is asserted."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import checkout, report, summary
from benchmarks.machine import SIDEKIQ
from benchmarks.measurements import measurements
from benchmarks.processes import BenchmarkError
from benchmarks.rounds import Figure, Measurement, Result, Spread
from tests.interop import ruby as rubies
from tests.servers import missing

ROOT = Path(__file__).parent.parent.parent
LOADS = ("steady-25", "sleep-5ms", "failing", "fan-out-async", "weights", "start", "idle")


def bench(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def median(folder: Path, name: str, system: str, key: str) -> float:
    spread = report.read(folder / f"{name}.json")[0].spread(system, key)
    assert spread is not None, (name, system, key)
    return spread.median


@pytest.mark.system
@pytest.mark.timeout(300)
def test_a_quick_round_measures_every_system_and_fills_the_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("redis-server") is None:
        missing("redis-server is not here; tests/interop/install.sh fetches it on Debian")
    ruby = ["Sidekiq"] if any(ruby.version == SIDEKIQ for ruby in rubies.available()) else []
    systems = ["pykiq", "base", *ruby, "floor", "threads"]
    ran = bench("--quick", "--base", ".", "--only", *LOADS, "--systems", *systems, "--out", str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    assert all(f"| {system} " in ran.stdout for system in systems)
    for measurement in (one for one in measurements(quick=True) if one.name in LOADS):
        for figure in measurement.figures:
            for system in systems if measurement.plain else systems[:-2]:
                median(tmp_path, measurement.name, system, figure.key)
    for system in ("floor", "threads"):
        assert median(tmp_path, "steady-25", system, "commands") == 2  # BLMOVE and LREM
    if ruby:
        for name, page in (("README", summary.README), ("PAGE", summary.PAGE)):
            shutil.copy(page, tmp_path / page.name)
            monkeypatch.setattr(summary, name, tmp_path / page.name)
        summary.main(tmp_path)
        readme, page = summary.README.read_text("utf-8"), summary.PAGE.read_text("utf-8")
        assert f"| where pykiq is behind | pykiq | Sidekiq {SIDEKIQ} |" in readme
        assert "| full queue, jobs of 5 ms | jobs/s |" in page
        assert "| jobs/s that would keep one Redis busy |" in page


@pytest.mark.system
def test_another_sidekiq_than_the_one_asked_for_is_refused() -> None:
    if shutil.which("redis-server") is None:
        missing("redis-server is not here; tests/interop/install.sh fetches it on Debian")
    ran = bench("--quick", "--only", "start", "--sidekiq", "9.9.9")
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: no Sidekiq 9.9.9 is here, but ")


def test_a_measurement_that_is_not_there_is_refused_with_those_that_are() -> None:
    ran = bench("--only", "stedy-25")
    assert ran.returncode == 2
    assert "no stedy-25; there are steady-25, steady-50" in ran.stderr


def test_a_base_is_a_folder_or_a_revision(tmp_path: Path) -> None:
    with checkout.checked_out(str(tmp_path)) as there:
        assert there == tmp_path
    with pytest.raises(BenchmarkError, match="neither a folder nor a revision"), checkout.checked_out("no-such"):
        pass


def test_every_measurement_has_a_name_of_its_own_and_is_listed() -> None:
    names = [one.name for one in measurements(quick=False)]
    assert len(names) == len(set(names))
    assert [line.split()[0] for line in bench("--list").stdout.splitlines()] == names


def test_every_measurement_is_explained() -> None:
    page = summary.PAGE.read_text("utf-8").partition("## What is measured")[2].partition("## How it is kept fair")[0]
    for one in measurements(quick=False):
        beginning = one.name.split("-")[0]
        assert f"`{one.name}`" in page or f"`{beginning}-" in page, one.name


def three(*, more: bool) -> Result:
    def never(*_: Any) -> dict[str, float]:
        raise NotImplementedError

    figures = (Figure("jobs_per_s", "jobs/s", more_is_better=True),) if more else (Figure("cpu_us", "µs CPU per job"),)
    key = figures[0].key
    rounds = tuple({"pykiq": {key: ours}, "Sidekiq": {key: theirs}} for ours, theirs in ((1, 2), (30, 20), (8, 2)))
    return Result(Measurement("one", "one", figures, never), rounds)


def test_a_ratio_is_taken_round_by_round() -> None:
    assert three(more=True).ratio("jobs_per_s", "Sidekiq") == Spread(1.5, 0.5, 4.0)
    assert three(more=True).ratio("jobs_per_s", "base") is None


def test_what_is_written_is_read_as_it_was(tmp_path: Path) -> None:
    report.write(three(more=False), {"cores": 2}, tmp_path)
    read, around = report.read(tmp_path / "one.json")
    assert read.rounds == three(more=False).rounds
    assert read.measurement.figures == three(more=False).measurement.figures
    assert around["cores"] == 2
    assert json.loads((tmp_path / "one.json").read_text())["figures"]["cpu_us"]["ratio"]["median"] == 1.5


@pytest.mark.parametrize(("more", "side"), [(True, "ahead"), (False, "behind")])
def test_the_readme_tells_where_pykiq_is_behind_and_where_it_is_ahead(more: bool, side: str) -> None:
    behind, _, ahead = summary.extremes([three(more=more)], {"Sidekiq": SIDEKIQ}).partition("where pykiq is ahead")
    assert ("| one:" in ahead, "| one:" in behind) == (side == "ahead", side == "behind")

"""examples/deploy: well-formed, and with flags, paths, metrics and times that fit the code."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from pykiq.cli.run import run
from pykiq.observe.backlog import Backlog
from pykiq.worker.exchange import CLEANUP
from tests.servers import missing
from tests.test_docs import table

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "examples" / "deploy"
CLEAN_UP, OF_A_SWARM = 15, 45  # seconds that docs/running.md says a supervisor should wait beyond --timeout


def manifest(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return read


def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(FOLDER / "pykiq.service")
    return parser["Service"]


def container() -> dict[str, Any]:
    found: dict[str, Any] = manifest("kubernetes.yml")["spec"]["template"]["spec"]["containers"][0]
    return found


def commands() -> dict[str, list[str]]:
    docker = re.search(r"^CMD (.*)$", (FOLDER / "Dockerfile").read_text(), re.MULTILINE)
    assert docker
    return {
        "pykiq.service": shlex.split(unit()["ExecStart"]),
        "Dockerfile": json.loads(docker[1]),
        "kubernetes.yml": container()["args"],
        "Procfile": shlex.split((FOLDER / "Procfile").read_text().partition(":")[2]),
    }


def given(name: str) -> dict[str, Any]:
    """What `pykiq run` makes of the command line in a file."""
    command, subcommand, *flags = commands()[name]
    assert (Path(command).name, subcommand) == ("pykiq", "run")
    return run.make_context("run", flags).params


@pytest.mark.parametrize("name", ["pykiq.service", "Dockerfile", "kubernetes.yml", "Procfile"])
def test_the_command_line_is_understood(name: str) -> None:
    try:
        assert given(name)["require"] == ("app.handlers",)
    except click.UsageError as error:
        pytest.fail(f"{name}: {error}")


def test_a_stop_is_given_its_time() -> None:
    timeout = float(given("pykiq.service")["timeout"])
    assert float(unit()["TimeoutStopSec"]) >= timeout + OF_A_SWARM
    spec = manifest("kubernetes.yml")["spec"]["template"]["spec"]
    before = int(re.search(r"sleep (\d+)", container()["lifecycle"]["preStop"]["exec"]["command"][2])[1])  # type: ignore[index]
    grace, timeout = spec["terminationGracePeriodSeconds"], float(given("kubernetes.yml")["timeout"])
    assert grace >= before + timeout + CLEAN_UP
    told = [row[0] for row in table("docs/deploy.md", "## Kubernetes")]
    cleaned = before + timeout + CLEANUP
    assert told[2:] == [
        f"{before} s",
        f"{before + timeout:g} s at the latest",
        f"{cleaned:g} s at the latest",
        f"{grace} s",
    ]


def test_systemd_is_told_what_the_worker_says() -> None:
    assert (unit()["Type"], unit()["KillMode"], unit()["RestartPreventExitStatus"]) == ("notify", "mixed", "2")
    assert float(unit()["WatchdogSec"]) >= 60


def per_port(text: str) -> str:
    """The unit as docs/deploy.md makes one out of it that has a port of its own."""
    [edit] = re.findall(r"^    (sed '[^']+') pykiq.service > ", (ROOT / "docs/deploy.md").read_text(), re.MULTILINE)
    return subprocess.run(shlex.split(edit), input=text, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", ["pykiq.service", "pykiq@9395.service"])
def test_systemd_understands_the_unit(name: str, tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        missing("systemd-analyze is not here; Debian has it in the package systemd")
    text = (FOLDER / "pykiq.service").read_text()
    if "@" in name:
        text = per_port(text)
        assert "--metrics-port %i " in text
    here = text.replace(shlex.split(unit()["ExecStart"])[0], "/bin/true").replace("User=app", "")
    (tmp_path / name).write_text(here)
    command = ["systemd-analyze", "verify", str(tmp_path / name)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    remarks = [line for line in checked.stderr.splitlines() if "pykiq" in line]
    assert (checked.returncode, remarks) == (0, [])


def test_probes_ask_the_port_that_is_served() -> None:
    [port] = container()["ports"]
    assert str(port["containerPort"]) == given("kubernetes.yml")["metrics_port"]
    for probe, path in (("startupProbe", "/ready"), ("livenessProbe", "/live"), ("readinessProbe", "/ready")):
        assert container()[probe]["httpGet"] == {"path": path, "port": port["name"]}


def test_the_container_is_not_root() -> None:
    assert re.search(r"^USER \d+$", (FOLDER / "Dockerfile").read_text(), re.MULTILINE)


def test_the_scaler_asks_for_a_metric_that_is_there() -> None:
    def nothing() -> Any:
        raise ConnectionError

    [trigger] = manifest("keda.yml")["spec"]["triggers"]
    assert trigger["metricType"] == "Value", "the mean over the workers would say little of a time"
    exported = {family.name for family in Backlog(nothing, ["low"]).collect()}
    assert set(re.findall(r"pykiq_\w+", trigger["metadata"]["query"])) <= exported
    assert manifest("keda.yml")["spec"]["scaleTargetRef"]["name"] == manifest("kubernetes.yml")["metadata"]["name"]

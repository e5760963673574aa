"""examples/deploy: well-formed, and with flags, paths, metrics and times that fit the code."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from pykiq.cli.run import run
from pykiq.observe.backlog import Backlog

FOLDER = Path(__file__).parent.parent / "examples" / "deploy"
CLEAN_UP = 15  # seconds that docs/running.md says a supervisor should wait beyond --timeout


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
    assert float(unit()["TimeoutStopSec"]) >= timeout + CLEAN_UP
    spec = manifest("kubernetes.yml")["spec"]["template"]["spec"]
    before = int(re.search(r"sleep (\d+)", container()["lifecycle"]["preStop"]["exec"]["command"][2])[1])  # type: ignore[index]
    assert spec["terminationGracePeriodSeconds"] >= before + float(given("kubernetes.yml")["timeout"]) + CLEAN_UP


def test_systemd_is_told_what_the_worker_says() -> None:
    assert (unit()["Type"], unit()["KillMode"], unit()["RestartPreventExitStatus"]) == ("notify", "mixed", "2")
    assert float(unit()["WatchdogSec"]) >= 60


def test_probes_ask_the_port_that_is_served() -> None:
    [port] = container()["ports"]
    assert str(port["containerPort"]) == given("kubernetes.yml")["metrics_port"]
    for probe, path in (("startupProbe", "/live"), ("livenessProbe", "/live"), ("readinessProbe", "/ready")):
        assert container()[probe]["httpGet"] == {"path": path, "port": port["name"]}


def test_the_container_is_not_root() -> None:
    assert re.search(r"^USER \d+$", (FOLDER / "Dockerfile").read_text(), re.MULTILINE)


def test_the_scaler_asks_for_a_metric_that_is_there() -> None:
    def nothing() -> Any:
        raise ConnectionError

    [trigger] = manifest("keda.yml")["spec"]["triggers"]
    exported = {family.name for family in Backlog(nothing, ["low"]).collect()}
    assert set(re.findall(r"pykiq_\w+", trigger["metadata"]["query"])) <= exported
    assert manifest("keda.yml")["spec"]["scaleTargetRef"]["name"] == manifest("kubernetes.yml")["metadata"]["name"]

"""examples/monitoring asks for metrics that the code exports, in PromQL that Prometheus accepts."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.core import Metric

from pykiq.observe.backlog import Backlog
from pykiq.observe.board import Board
from pykiq.observe.merged import Merged
from pykiq.observe.tally import FAMILIES
from tests.interop.ruby import cache
from tests.servers import missing

FOLDER = Path(__file__).parent.parent / "examples" / "monitoring"
OF_PROMETHEUS = {"instance", "job", "le"}


def alerts() -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((FOLDER / "grafana.json").read_text())
    return read


def queries() -> dict[str, str]:
    """Every expression, by the alert or panel it belongs to, with Grafana's variables filled in."""
    found = {rule["alert"]: rule["expr"] for rule in alerts()}
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            filled = target["expr"].replace("$__rate_interval", "5m").replace("$queue", ".*")
            found[f"{panel['title']} {target['refId']}"] = filled
    return found


@pytest.fixture(scope="module")
def families() -> list[Metric]:
    """What a parent with children exports: everything that one process does, and more."""

    def nothing() -> Any:
        raise ConnectionError

    merged = Merged(Board(1), concurrency=1, backlog=Backlog(nothing, ["low"]))
    return list(merged.registry.collect())


@pytest.fixture(scope="module")
def exported(families: list[Metric]) -> set[str]:
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    return {family.name + suffix for family in families for suffix in suffixes.get(family.type, ("",))}


@pytest.mark.parametrize("name", queries())
def test_a_query_asks_for_what_is_exported(name: str, exported: set[str]) -> None:
    asked = set(re.findall(r"\bpykiq_\w+", queries()[name]))
    assert asked <= exported
    assert asked or name == "PykiqWorkerDown"


def test_the_dashboard_shows_every_metric(families: list[Metric]) -> None:
    shown = (FOLDER / "grafana.json").read_text()
    in_a_sum = {"pykiq_child_rss_bytes"}
    assert {family.name for family in families if family.name not in shown} <= in_a_sum


@pytest.mark.parametrize("name", queries())
def test_a_query_uses_labels_that_are_there(name: str) -> None:
    query = queries()[name]
    used = {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", query) for label in group.split(",")}
    used |= set(re.findall(r"[{,]\s*(\w+)\s*[=!]~?=?\s*\"", query))
    known = {label for family in FAMILIES.values() for label in family.labels} | {"queue", "set", "reason", "child"}
    assert used <= known | OF_PROMETHEUS


def test_panels_do_not_overlap_and_have_numbers_of_their_own() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells


def test_every_alert_says_what_happened_and_how_bad_it_is() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}, rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]


def promtool() -> str:
    """Prometheus's own checker; `tests/interop/install.sh` fetches it."""
    found = shutil.which("promtool", path=f"{os.environ.get('PATH', '')}{os.pathsep}{cache()}")
    if found is None:
        missing("promtool is not here; Debian has it in the package prometheus")
    return str(found)


@pytest.mark.system
def test_prometheus_accepts_the_configuration_the_alerts_and_the_dashboards_queries(tmp_path: Path) -> None:
    program = promtool()
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries().values())]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    for what, path in (("config", FOLDER / "prometheus.yml"), ("rules", file)):
        ran = subprocess.run(
            [program, "check", what, str(path)], capture_output=True, text=True, timeout=30, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr

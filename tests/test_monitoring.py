"""examples/monitoring asks for metrics that the code exports, in PromQL that Prometheus accepts."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import redis as redis_py
import yaml
from prometheus_client import generate_latest
from prometheus_client.core import Metric

from pykiq.cli.main import pykiq
from pykiq.cli.words import VERBS
from pykiq.observe.backlog import Backlog
from pykiq.observe.board import Board
from pykiq.observe.merged import Merged
from pykiq.observe.tally import FAMILIES
from tests.interop.ruby import cache
from tests.servers import missing

FOLDER = Path(__file__).parent.parent / "examples" / "monitoring"
OF_PROMETHEUS = {"instance", "job", "le"}
BACKLOG_LABELS = {"queue", "set"}


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
    known = {label for family in FAMILIES.values() for label in family.labels} | BACKLOG_LABELS | {"reason", "child"}
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


def test_the_commands_that_alerts_name_are_there() -> None:
    named = [
        found for rule in alerts() for found in re.findall(r"`pykiq ([^`]+)`", " ".join(rule["annotations"].values()))
    ]
    assert len(named) >= 4
    for line in named:
        words = re.sub(r"{{.*?}}", "x", line).split()
        group = click.Context(pykiq)
        command = pykiq.get_command(group, words[0])
        assert command is not None, line
        command.make_context(words[0], words[1:], parent=group)
        assert not words[1:] or words[1].startswith("-") or words[1] in (*VERBS, "x"), line


GRAFANA_S_VARIABLES = {"__rate_interval"}
PANELS = {"stat", "timeseries"}
UNITS = {"short", "percentunit", "ops", "s", "bytes"}


def test_the_dashboard_has_the_form_that_grafana_reads() -> None:
    board = dashboard()
    assert board["schemaVersion"] >= 36  # data sources are objects from there on
    assert board.get("id") is None, "Grafana gives the number; one in the file would replace another dashboard"
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", board["uid"])
    assert board["time"].keys() == {"from", "to"}
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in board["panels"]:
        assert panel["type"] in PANELS, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["datasource"] == source
        assert all(target["datasource"] == source for target in panel["targets"])
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == sorted(set(letters)), panel["title"]
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(board)))
    assert used - GRAFANA_S_VARIABLES == set(variables)


def test_a_variable_asks_for_a_label_that_is_exported(families: list[Metric]) -> None:
    asked = [one for one in dashboard()["templating"]["list"] if one["type"] == "query"]
    assert asked
    for variable in asked:
        found = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"])
        assert found
        assert variable["definition"] == variable["query"]
        assert found[1] in {family.name for family in families}
        assert found[2] in BACKLOG_LABELS


def test_a_legend_names_labels_that_its_query_leaves() -> None:
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                kept = {one.strip() for by in re.findall(r"by \(([^)]*)\)", target["expr"]) for one in by.split(",")}
                assert label in kept or (not kept and label == "instance"), target["expr"]


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


@pytest.mark.system
def test_prometheus_has_nothing_to_say_against_the_names_and_the_format(redis: redis_py.Redis) -> None:
    merged = Merged(Board(1), concurrency=1, backlog=Backlog(lambda: redis, ["low"]))
    with merged.tally.lock:
        for family in FAMILIES.values():
            labels = tuple(f"a {label}" for label in family.labels)
            if family.bounds:
                merged.tally.histogram(family, labels).observe([0.5])
            else:
                merged.tally.counter(family)[labels] = 1
    ran = subprocess.run(
        [promtool(), "check", "metrics"],
        input=generate_latest(merged.registry),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")


# What fires each alert: series and their values, one every 15 s, for an hour and a half. And what is not enough for it.
FIRES = {
    "PykiqWorkerDown": {'up{job="pykiq"}': "1 0x360"},
    "PykiqNoWorkers": {},
    "PykiqRedisUnreachable": {"pykiq_redis_up": "1 0x360", "pykiq_up": "1x360"},
    "PykiqRedisSlow": {"pykiq_redis_round_trip_seconds": "0.2x360"},
    "PykiqQueueLate": {'pykiq_queue_latency_seconds{queue="low"}': "0+15x360"},
    "PykiqQueuePaused": {'pykiq_queue_paused{queue="low"}': "1x360"},
    "PykiqScheduleLate": {'pykiq_schedule_lateness_seconds{set="retry"}': "90x360"},
    "PykiqFailures": {
        'pykiq_jobs_total{class="A",outcome="done"}': "0+3x360",
        'pykiq_jobs_total{class="A",outcome="retry"}': "0+1x360",
    },
    "PykiqDeadJobs": {'pykiq_jobs_total{class="A",outcome="dead"}': "_x340 1x20"},
    "PykiqPoisonPill": {"pykiq_poison_pills_total": "0x340 1x20"},
    "PykiqEntriesRefused": {'pykiq_entries_refused_total{step="settle"}': "_x340 1x20"},
    "PykiqTakeovers": {"pykiq_takeovers_total": "0x340 5x20"},
    "PykiqSaturated": {"pykiq_busy": "10x360", "pykiq_concurrency": "10x360"},
}
DOES_NOT_FIRE = {
    "PykiqWorkerDown": {'up{job="pykiq"}': "1x356 0 0 0 0"},
    "PykiqNoWorkers": {"pykiq_up": "1x360"},
    "PykiqRedisUnreachable": {"pykiq_redis_up": "1x358 0 0"},
    "PykiqRedisSlow": {"pykiq_redis_round_trip_seconds": "0.02x360"},
    "PykiqQueueLate": {
        'pykiq_queue_latency_seconds{queue="low"}': "0+15x360",
        'pykiq_queue_paused{queue="low"}': "1x360",
    },
    "PykiqQueuePaused": {'pykiq_queue_paused{queue="low"}': "0x200 1x160"},
    "PykiqScheduleLate": {'pykiq_schedule_lateness_seconds{set="retry"}': "5x360"},
    "PykiqFailures": {
        'pykiq_jobs_total{class="A",outcome="done"}': "0+9x360",
        'pykiq_jobs_total{class="A",outcome="retry"}': "0+1x360",
    },
    "PykiqDeadJobs": {'pykiq_jobs_total{class="A",outcome="dead"}': "1x360"},
    "PykiqPoisonPill": {"pykiq_poison_pills_total": "3x360"},
    "PykiqEntriesRefused": {'pykiq_entries_refused_total{step="settle"}': "1x360"},
    "PykiqTakeovers": {"pykiq_takeovers_total": "5x360"},
    "PykiqSaturated": {"pykiq_busy": "9x360", "pykiq_concurrency": "10x360"},
}


def case(name: str, series: dict[str, str], *, fires: bool) -> dict[str, Any]:
    """A test in the form of `promtool test rules`: whether that alert fires at the end."""
    return {
        "interval": "15s",
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}})',
                "eval_time": "90m",
                "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
            }
        ],
    }


@pytest.mark.system
def test_every_alert_fires_when_it_should_and_not_before(tmp_path: Path) -> None:
    names = {rule["alert"] for rule in alerts()}
    assert set(FIRES) == set(DOES_NOT_FIRE) == names
    tests = [case(name, series, fires=True) for name, series in FIRES.items()]
    tests += [case(name, series, fires=False) for name, series in DOES_NOT_FIRE.items()]
    file = tmp_path / "tests.yml"
    rules = {"rule_files": [str(FOLDER / "alerts.yml")], "evaluation_interval": "15s", "tests": tests}
    file.write_text(yaml.safe_dump(rules))
    ran = subprocess.run(
        [promtool(), "test", "rules", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr

"""deploy/: configurations load, rules and dashboard ask for what is exported, files exist."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from monitor.config import load, parse
from monitor.offline import demo
from monitor.offline.demo_scene import SHORTEST, stage
from monitor.offline.demo_summary import Story
from monitor.offline.train import train_on
from monitor.process import serve
from monitor.runner import Runner
from monitor.serve.families import METRICS
from monitor.serve.http import Server
from monitor.serving import ServeConfig
from tests.prometheus import Prometheus, scraping, wait_until
from tests.served import growing
from tests.tools import promtool

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
RULES = [DEPLOY / "prometheus" / name for name in ("recording.yml", "alerts.yml")]
DASHBOARD = json.loads((DEPLOY / "grafana/dashboards/monitor.json").read_text("utf-8"))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
WINDOW = "5s"


def panels() -> Iterator[tuple[str, str]]:
    """Title and query of every target, variables filled in as Grafana does for All."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], filled(target["expr"])
    for note in DASHBOARD["annotations"]["list"]:
        yield note["name"], filled(note["expr"])


def filled(expr: str) -> str:
    expr = expr.replace("$__rate_interval", WINDOW)
    return re.sub(r"\$(stream|sensor|detector)", ".*", expr)


def rules(file: Path) -> list[dict[str, Any]]:
    return [rule for group in groups(file) for rule in group["rules"]]


def groups(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(file.read_text("utf-8"))["groups"]
    return found


def exported() -> set[str]:
    """Every name a query may use: those of the table, with the parts of histograms."""
    parts = {"histogram": ("_bucket", "_count", "_sum")}
    return {name + part for name, m in METRICS.items() for part in parts.get(m.kind, ("",))}


@pytest.mark.parametrize("file", sorted((DEPLOY / "configs").glob("*.yaml")), ids=lambda f: f.name)
def test_the_example_configurations_load(file: Path) -> None:
    secrets = {"KAFKA_PASSWORD": "secret"}
    container = COMPOSE["services"]["monitor-1"]["environment"]
    assert load(file, secrets | container).streams


def test_every_metric_in_a_rule_or_panel_is_exported() -> None:
    asked = [rule["expr"] for file in RULES for rule in rules(file)]
    asked += [expr for _, expr in panels()]
    asked += [v["definition"] for v in DASHBOARD["templating"]["list"] if "definition" in v]
    named = {name for expr in asked for name in re.findall(r"(?<![:\w])monitor_\w+", expr)}
    assert len(named) > 20
    assert named <= exported()


def test_every_label_a_rule_speaks_of_belongs_to_its_metric() -> None:
    for rule in (rule for file in RULES for rule in rules(file)):
        for name, matchers in re.findall(r"(monitor_\w+)\{([^}]*)\}", rule["expr"]):
            metric = METRICS[re.sub(r"_bucket$", "", name)]
            wanted = set(re.findall(r"(\w+)\s*[=!]", matchers)) - {"job", "instance"}
            assert wanted <= set(metric.labels), (rule["expr"], name)


def test_alerts_say_for_how_long_and_what_to_do() -> None:
    assert [group["name"] for group in groups(RULES[1])] == ["health", "issues"]
    for rule in rules(RULES[1]):
        assert {"for", "keep_firing_for", "annotations"} <= set(rule), rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description"}
        severity = rule.get("labels", {}).get("severity", "from the metric")
        assert severity in ("info", "warning", "critical", "from the metric")


def test_promtool_accepts_the_configuration_and_the_rules() -> None:
    tool = promtool()
    folder = DEPLOY / "prometheus"
    tool("check", "config", str(folder / "prometheus.yml"))
    tool("check", "rules", *map(str, RULES))


def test_the_alert_rules_fire_when_they_should() -> None:
    promtool()("test", "rules", str(DEPLOY / "prometheus/alerts.test.yml"))


def test_every_alert_rule_that_is_tested_exists() -> None:
    cases = yaml.safe_load((DEPLOY / "prometheus/alerts.test.yml").read_text("utf-8"))["tests"]
    tested = {t["alertname"] for case in cases for t in case.get("alert_rule_test", [])}
    assert tested <= {rule["alert"] for rule in rules(RULES[1])}
    assert len(tested) >= 12


def test_panels_do_not_overlap_and_ids_are_distinct() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_every_panel_has_data_from_a_prometheus_that_scraped_the_server(tmp_path: Path) -> None:
    with (
        Server(growing(time.time), ServeConfig(port=0)) as server,
        scraping(server.url, RULES, tmp_path) as prometheus,
    ):
        wait_until(lambda: prometheus.scrapes() >= 4, "four scrapes")
        empty = [title for title, expr in panels() if not prometheus.query(expr)]
        assert empty == []
        bands = [prometheus.query(rule["record"]) for rule in rules(RULES[0])[:4]]
        assert all(bands)
        assert firing(prometheus) >= {"Anomaly"}


def firing(prometheus: Prometheus) -> set[str]:
    found = prometheus.query('ALERTS{alertstate="firing"}')
    return {series["metric"]["alertname"] for series in found}


def test_every_panel_has_data_from_a_prometheus_that_scraped_a_real_run(tmp_path: Path) -> None:
    (tmp_path / "prometheus").mkdir()
    runner = machines(tmp_path)
    with (
        serve(runner, ServeConfig(port=0)) as server,
        scraping(server.url, RULES, tmp_path / "prometheus") as prometheus,
    ):
        runner.start()
        begin = time.monotonic()

        def enough() -> bool:
            runner.step()
            # Some alerts, and some seconds in which all totals have been scraped twice.
            return bool(runner.recent_alerts) and prometheus.scrapes() >= 7

        wait_until(enough, "an alert and seven scrapes")
        lasted = time.monotonic() - begin
        empty = [title for title, expr in panels() if not prometheus.over(expr, lasted + 2)]
        runner.close()
    assert empty == []


def machines(folder: Path) -> Runner:
    """The demo's rotors, four times as fast as real ones, with the detectors quickest to train."""
    text = (Path(demo.__file__).with_name("demo.yaml")).read_text("utf-8")
    settings = yaml.safe_load(text)
    stream = settings["streams"]["rotors"]
    settings["streams"] = {"rotors": stream}
    stream["models"][0]["use"] = ["mahalanobis:rotors@production", "online_iforest"]
    stream["alert"]["silence"] = None  # event time is behind the clock here
    config = parse(yaml.safe_dump(settings), "demo.yaml")
    config = config.model_copy(update={"models": folder / "models"})
    scene = stage(config, 1, SHORTEST)
    quiet = Console(quiet=True)
    train_on(config, scene.normal(config), console=quiet)
    runner = demo.build(config, scene, Story(quiet, scene.faults))
    runner.pace = replace(runner.pace, live=True, snapshot_every=2.0)
    return runner


def test_files_that_compose_names_exist() -> None:
    services = COMPOSE["services"]
    for service in services.values():
        if "build" in service:
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            known = (DEPLOY / source).is_dir() if "/" in source else source in COMPOSE["volumes"]
            assert known, volume
        for other in service.get("depends_on", []):
            assert other in services
    loops = [s for s in services.values() if s.get("command", [None])[0] == "run"]
    assert len(loops) == 2
    assert all("state:/var/lib/monitor/state" in s["volumes"] for s in loops)


def test_prometheus_scrapes_the_monitors_of_compose() -> None:
    settings = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text("utf-8"))
    (job,) = (job for job in settings["scrape_configs"] if job["job_name"] == "monitor")
    targets = {target.split(":")[0] for part in job["static_configs"] for target in part["targets"]}
    assert targets == {name for name in COMPOSE["services"] if name.startswith("monitor-")}


def test_grafana_finds_its_data_and_its_dashboard() -> None:
    folder = DEPLOY / "grafana/provisioning"
    sources = yaml.safe_load((folder / "datasources/prometheus.yml").read_text("utf-8"))
    (default,) = DASHBOARD["templating"]["list"][:1]
    assert default["current"]["value"] == sources["datasources"][0]["uid"]
    boards = yaml.safe_load((folder / "dashboards/monitor.yml").read_text("utf-8"))
    mounted = [volume.split(":")[1] for volume in COMPOSE["services"]["grafana"]["volumes"]]
    assert boards["providers"][0]["options"]["path"] in mounted


def test_the_image_copies_what_exists_and_does_not_run_as_root() -> None:
    lines = (DEPLOY / "Dockerfile").read_text("utf-8").splitlines()
    copied = [line.split()[1:-1] for line in lines if re.match(r"COPY (?!--from)", line)]
    for name in (name for names in copied for name in names):
        assert (ROOT / name).exists(), name
    assert "USER monitor" in lines
    assert any(line.startswith("HEALTHCHECK") for line in lines)


def test_the_service_runs_commands_that_exist_and_may_not_become_root() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    file = DEPLOY / "systemd/monitor@.service"
    unit.read(file, "utf-8")
    assert unit["Service"]["ExecStart"].split()[1:] == ["run", "/etc/monitor/%i.yaml"]
    assert unit["Service"]["NoNewPrivileges"] == "yes"
    assert unit["Service"]["RestartPreventExitStatus"] == "2"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_knows_every_setting_of_the_service() -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", str(DEPLOY / "systemd/monitor@.service")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Unknown" not in done.stderr

"""Prometheus' alerts and Grafana's dashboard, against the metrics that we have. `make compose-test` runs both."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.checks import metrics
from tests.deploy.files import services
from tests.paths import ROOT

FOLDER = ROOT / "deploy" / "monitoring"
COMPOSE = ROOT / "deploy" / "compose"
SUFFIXES = (".yml", ".json")
SELECTOR = re.compile(r"\b(warmboard_\w+?)(?:_bucket|_count|_sum)?\{([^}]*)\}")
GROUPED = re.compile(r"\bby \(([^)]*)\)")
ADDED = {"le", "program"}
"""Labels that Prometheus adds: of a histogram's bounds, and of deploy/compose/prometheus.yml."""
LABELS = {
    name: set(re.findall(r"`(\w+)`", cell))
    for name, cell in re.findall(
        r"^\| `(warmboard_\w+)` \| [^|]* \| ([^|]*) \|", metrics.PAGE.read_text(), re.MULTILINE
    )
}
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboards" / "warmboard.json").read_text())


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in RULES)
    yield from (target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"])


def test_every_metric_is_one_that_we_have(tmp_path: Path) -> None:
    assert not list(metrics.faults(FOLDER, SUFFIXES))

    (tmp_path / "alerts.yml").write_text((FOLDER / "alerts.yml").read_text().replace("_queue_age_", "_que_age_"))
    assert len(list(metrics.faults(tmp_path, SUFFIXES))) == 1


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_every_label_is_one_of_its_metric(expression: str) -> None:
    mine = {name: labels for name, labels in LABELS.items() if name in expression}
    for name, selected in SELECTOR.findall(expression):
        asked = set(re.findall(r"(\w+)\s*[=!]~?", selected))
        assert asked <= LABELS[name] | ADDED, f"{name} has no label {', '.join(asked - LABELS[name])}"
    for grouped in GROUPED.findall(expression):
        asked = set(re.findall(r"\w+", grouped))
        assert asked <= ADDED.union(*mine.values())


def test_every_alert_says_what_it_means_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES) > 5
    for rule in RULES:
        assert set(rule["annotations"]) == {"summary", "description"}
    named = set(re.findall(r"^\| `([A-Z]\w+)` \|", metrics.PAGE.read_text(), re.MULTILINE))
    assert named == {rule["alert"] for rule in RULES}


def test_panels_do_not_overlap_and_each_has_a_query() -> None:
    places = set[tuple[int, int]]()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & places, panel["title"]
        places |= cells
        assert panel["targets"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_prometheus_asks_every_program_that_has_metrics_where_it_serves_them() -> None:
    [job] = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())["scrape_configs"]
    [asked] = job["dns_sd_configs"]
    served = {
        name
        for name, service in services().items()
        if service.get("environment", {}).get("METRICS_PORT") == str(asked["port"])
    }

    # Flower has no metrics of ours, and what ends at once is never asked.
    assert set(asked["names"]) == served - {"flower", "migrate", "role"}


def test_what_the_containers_read_is_where_it_is_mounted() -> None:
    mounted = {
        volume.split(":")[1]: ROOT / volume.split(":")[0]
        for name in ("prometheus", "grafana")
        for volume in services()[name]["volumes"]
        if volume.startswith("./")
    }
    [rules] = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())["rule_files"]
    [source] = yaml.safe_load((COMPOSE / "grafana" / "datasources" / "prometheus.yml").read_text())["datasources"]
    [provider] = yaml.safe_load((COMPOSE / "grafana" / "dashboards" / "files.yml").read_text())["providers"]
    home = services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]

    assert mounted[f"/etc/prometheus/{rules}"] == FOLDER / "alerts.yml"
    assert mounted[provider["options"]["path"]] == FOLDER / "dashboards"
    assert (mounted[str(Path(home).parent)] / Path(home).name).is_file()
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"


def test_a_cluster_has_the_same_alerts() -> None:
    manifest = yaml.safe_load((ROOT / "deploy/kubernetes/components/monitoring/alerts.yaml").read_text())
    assert manifest["spec"] == yaml.safe_load((FOLDER / "alerts.yml").read_text())

"""The dashboard and the alert rules in `docker/monitoring` use metrics of the service; their programs load them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML
from served import run_service

from pipelines.supervisor.event_log import StoredEvent

DOCKER = Path(__file__).parents[1] / "docker"
FOLDER = DOCKER / "monitoring"
ALERTS: Mapping[str, Any] = YAML(typ="safe").load(FOLDER / "alerts.yml")
DASHBOARD: Mapping[str, Any] = json.loads((FOLDER / "grafana/kerastudy.json").read_text(encoding="utf-8"))
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
TARGETS = [target for panel in DASHBOARD["panels"] for target in panel["targets"]]
_METRIC = re.compile(r"\b(?:kerastudy|process|python)_\w+")
_LABELS = re.compile(r"(\b(?:kerastudy|process|python)_\w+)\{([^}]*?)\}(?=\[|\s|\)|$)", re.DOTALL)
# Prometheus adds them to every sample.
_ADDED = {"job", "instance"}


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a real service exposes."""
    with run_service(tmp_path_factory.mktemp("service")) as service:
        who = service.token("eve", "submit")
        service.client.post("/v1/studies", content="study: s\n", headers=who)
        for kind, state in (("trial-ended", "complete"), ("study-ended", "finished")):
            service.monitors.metrics.observe_event(StoredEvent(1, kind, {"state": state, "seconds": 1.0}))
        return service.client.get("/metrics", headers=who).text


@pytest.fixture(scope="module")
def exposed(metrics: str) -> dict[str, set[str]]:
    """The labels of every sample, by its name."""
    families = list(text_string_to_metric_families(metrics))
    found = {family.name: set[str]() for family in families}
    # Families without a sample now: no study runs here.
    found |= {"kerastudy_trials": {"state"}, "kerastudy_submitter_running_trials": {"submitter"}}
    found |= {"kerastudy_submitter_queued_studies": {"submitter"}}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def _expressions() -> Iterator[tuple[str, str]]:
    yield from ((rule["alert"], rule["expr"]) for rule in RULES)
    yield from ((panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"])


def test_every_metric_and_label_is_one_of_the_service(exposed: dict[str, set[str]]) -> None:
    """A renamed metric would leave an alert that never fires, and an empty panel."""
    for place, expression in _expressions():
        # Labels in aggregations and matchers first: their names look like metrics of no prefix.
        for name, matchers in _LABELS.findall(expression):
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
            assert labels <= exposed[name] | _ADDED, (place, name, labels)
        for name in _METRIC.findall(re.sub(r'"[^"]*"', "", expression)):
            assert name in exposed, (place, name)


def test_labels_of_texts_are_in_the_result(exposed: dict[str, set[str]]) -> None:
    """A legend or a summary names a label that the metrics of its expression have."""
    texts = [(target["expr"], target["legendFormat"]) for target in TARGETS]
    texts += [(rule["expr"], rule["annotations"]["summary"]) for rule in RULES]
    for expression, text in texts:
        known = set().union(*(exposed[name] for name in _METRIC.findall(expression) if name in exposed))
        named = re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", text)
        assert set(named) <= known, (expression, text)


def test_every_alert_states_what_to_do() -> None:
    """Each has a severity, a summary and a remedy."""
    for rule in RULES:
        assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
        assert rule["annotations"].keys() >= {"summary", "remedy"}, rule["alert"]


def test_panels_stand_side_by_side() -> None:
    """No two overlap, and each has a title and a number of its own."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert len({panel["title"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_promtool_loads_the_rules() -> None:
    """With Prometheus's program, where it is installed."""
    if (program := shutil.which("promtool")) is None:
        pytest.skip("promtool is not installed (apt-get install prometheus)")
    done = subprocess.run(
        [program, "check", "rules", FOLDER / "alerts.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_reads_every_panel(tmp_path: Path) -> None:
    """Each expression of the dashboard is one of Prometheus's language, as a rule would be."""
    if (program := shutil.which("promtool")) is None:
        pytest.skip("promtool is not installed (apt-get install prometheus)")
    rules = [{"record": f"panel:{number}", "expr": target["expr"]} for number, target in enumerate(TARGETS)]
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run([program, "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(TARGETS)} rules found" in done.stdout


def test_promtool_reads_the_metrics(metrics: str) -> None:
    """What a service exposes has the form and the names that Prometheus wants."""
    if (program := shutil.which("promtool")) is None:
        pytest.skip("promtool is not installed (apt-get install prometheus)")
    done = subprocess.run([program, "check", "metrics"], input=metrics.encode(), capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_caddy_loads_its_file() -> None:
    """With Caddy, where it is installed."""
    if (program := shutil.which("caddy")) is None:
        pytest.skip("caddy is not installed (apt-get install caddy)")
    command = [program, "validate", "--adapter", "caddyfile", "--config", DOCKER / "caddy/Caddyfile"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_mounted_files_are_where_their_readers_look() -> None:
    """compose.yaml mounts every file of the folder, and the configurations name the mounted paths."""
    services: Mapping[str, Any] = YAML(typ="safe").load(DOCKER / "compose.yaml")["services"]
    mounts = dict(
        entry.removesuffix(":ro").split(":")
        for name in ("prometheus", "grafana")
        for entry in services[name]["volumes"]
    )
    files = {file.relative_to(DOCKER).as_posix() for file in FOLDER.rglob("*") if file.is_file()}
    assert {f"./{file}" for file in files} <= mounts.keys()
    assert YAML(typ="safe").load(FOLDER / "prometheus.yml")["rule_files"] == [mounts["./monitoring/alerts.yml"]]
    provider = YAML(typ="safe").load(FOLDER / "grafana/dashboards.yaml")["providers"][0]
    assert Path(mounts["./monitoring/grafana/kerastudy.json"]).parent == Path(provider["options"]["path"])
    source = YAML(typ="safe").load(FOLDER / "grafana/datasources.yaml")["datasources"][0]
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {source["uid"]}

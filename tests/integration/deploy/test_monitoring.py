"""What Prometheus and Grafana are given: by promtool, and by the places that each names."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.deploy.documents import DEPLOY, ROOT, compose, of_kind

PROVISIONING = DEPLOY / "grafana/provisioning"
MISSING = 'promtool is not installed: run "make servers", or apt install prometheus'


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def mounts(service: str) -> dict[str, str]:
    """Place in the container → place in deploy/, of what a service is given to read."""
    volumes = (volume.split(":") for volume in compose()["services"][service]["volumes"])
    return {words[1]: words[0] for words in volumes if words[0].startswith(".")}


def test_yamllint_has_nothing_to_say() -> None:
    program = Path(sys.executable).with_name("yamllint")

    done = subprocess.run(
        [program, "--strict", "--format", "parsable", "deploy"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


def test_promtool_finds_nothing_wrong_with_the_configuration() -> None:
    if shutil.which("promtool") is None:
        pytest.skip(MISSING)

    done = subprocess.run(
        ["promtool", "check", "config", DEPLOY / "prometheus/prometheus.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "prometheus.yaml is valid prometheus config file syntax" in done.stdout
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_keda_asks_prometheus_is_understood(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip(MISSING)
    (scaled,) = of_kind("production", "ScaledObject").values()
    queries = [trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"]]
    rules = [{"record": f"asked:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "keda", "rules": rules}]}))

    done = subprocess.run(
        ["promtool", "check", "rules", tmp_path / "rules.yaml"], capture_output=True, text=True, check=False
    )

    assert f"SUCCESS: {len(queries)} rules found" in done.stdout
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_is_started_with_that_file_and_its_rules() -> None:
    assert mounts("prometheus") == {"/etc/prometheus": "./prometheus"}
    assert "--config.file=/etc/prometheus/prometheus.yaml" in compose()["services"]["prometheus"]["command"]
    assert read(DEPLOY / "prometheus/prometheus.yaml")["rule_files"] == ["rules/*.yaml"]


def test_prometheus_asks_every_worker_and_every_api() -> None:
    jobs = {each["job_name"]: each for each in read(DEPLOY / "prometheus/prometheus.yaml")["scrape_configs"]}
    services = compose()["services"]

    for job, service in (("edw-worker", "worker"), ("edw-api", "api")):
        (found,) = jobs[job]["dns_sd_configs"]
        # A service's name stands for the addresses of all its containers.
        assert (found["names"], found["type"]) == ([service], "A")
        assert set(services[service]["networks"]) & set(services["prometheus"]["networks"])
    for job in ("rabbitmq", "prometheus"):
        (static,) = jobs[job]["static_configs"]
        assert len(static["targets"]) == 1


def test_grafana_finds_its_datasource_and_its_dashboards() -> None:
    (datasource,) = read(PROVISIONING / "datasources/prometheus.yaml")["datasources"]
    (provider,) = read(PROVISIONING / "dashboards/edw.yaml")["providers"]

    assert datasource["url"] == "http://prometheus:9090"
    assert mounts("grafana")["/etc/grafana/provisioning"] == "./grafana/provisioning"
    assert mounts("grafana")[provider["options"]["path"]] == "./grafana/dashboards"
    for path in (DEPLOY / "grafana/dashboards").glob("*.json"):
        dashboard = json.loads(path.read_text())
        # Two dashboards of one uid replace each other, again and again.
        assert dashboard["uid"]
        named = {str(each["uid"]) for each in _datasources(dashboard)}
        assert all(uid in (datasource["uid"], "-- Grafana --") or uid.startswith("$") for uid in named)


def _datasources(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [found for each in node for found in _datasources(each)]
    if not isinstance(node, dict):
        return []
    own = node.get("datasource")
    found = [own] if isinstance(own, dict) and "uid" in own else []
    return found + [each for value in node.values() for each in _datasources(value)]

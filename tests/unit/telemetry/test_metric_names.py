"""Metrics follow Prometheus' naming conventions, and every page and rule names metrics and labels that exist."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import which

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import REGISTRY, Collector

from tests import pages
from worker.ledger.inspection.totals import LaneTotals, LedgerTotals
from worker.telemetry import metrics
from worker.telemetry.ledger_gauges import families

ROOT = Path(__file__).parents[3]
MISSING = 'promtool is not installed: run "make servers", or apt install prometheus'
PAGES = [
    *(ROOT / page for page in pages.PAGES if page != "CHANGELOG.md"),
    *(path for path in (ROOT / "deploy").rglob("*") if path.suffix in {".yaml", ".json"}),
]
#: Names of ours that are no metric: groups of rules, and examples of files and keys on the pages.
NOT_METRICS = {"edw_receivers", "edw_delivery", "edw_fleet", "edw_redis", "edw_intake", "edw_ledger", "edw_processes"}
NOT_METRICS |= {"edw_writer", "edw_reader", "edw_http_put", "edw_secrets_keys", "edw_minor"}

_NAME = re.compile(r"\bedw_[a-z][a-z_]*[a-z](?!\w|\*|\()")
_FAMILY = re.compile(r"\b(edw_[a-z_]+_)\*")
_SUFFIX = re.compile(r"_(?:total|bucket|count|sum|info)$")


LABELS = {"ingress", "reason", "integration_type", "outcome", "integration", "state", "script", "operation", "status"}
LABELS |= {"shard", "circuit", "version", "python", "resource", "server", "limit", "kind"}
#: Labels that Prometheus adds.
SCRAPED = {"le", "job", "instance"}


EMPTY = LedgerTotals({}, 0, 0, 0, 0, 0, 0, LaneTotals(), 0, 0)


class Gauges(Collector):
    """The ledger's gauges, of an empty ledger."""

    def collect(self) -> Iterator[Metric]:
        yield from families(EMPTY, "0")


def ours() -> list[Metric]:
    metrics.build_info()
    return [*(each for each in REGISTRY.collect() if each.name.startswith("edw_")), *families(EMPTY, "0")]


def names() -> set[str]:
    return {each.name for each in ours()}


def test_promtool_finds_nothing_to_object_to() -> None:
    if not which("promtool"):
        pytest.skip(MISSING)
    registry = CollectorRegistry()
    registry.register(Gauges())
    metrics.observe_attempt("webhook", "delivered", 0.1)
    metrics.observe_call("settle", 0.001)
    metrics.observe_request("list", 200, 0.01)
    lines = [*generate_latest(REGISTRY).decode().splitlines(), *generate_latest(registry).decode().splitlines()]
    # The process' own are prometheus-client's; series of `_created` are no part of what a Prometheus scrapes.
    text = "\n".join(line for line in lines if " edw_" in f" {line}" and "_created" not in line)
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text + "\n", capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_what_is_measured_has_its_base_unit_in_its_name() -> None:
    for each in ours():
        assert not re.search(r"_(ms|milliseconds|minutes|hours|kb|kib|mb|mib|percent)\b", each.name), each.name
        if each.type == "histogram":
            assert each.name.endswith("_seconds"), each.name


def test_a_label_has_one_name_everywhere() -> None:
    used = {label for each in ours() for sample in each.samples for label in sample.labels}
    assert used - {"le"} <= LABELS
    assert "ingress" in used


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_only_metrics_that_exist(page: Path) -> None:
    known = names()
    for found in set(_NAME.findall(page.read_text())) - NOT_METRICS:
        assert found in known or _SUFFIX.sub("", found) in known, found
    for prefix in _FAMILY.findall(page.read_text()):
        assert any(name.startswith(prefix) for name in known), f"{prefix}*"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_query_groups_by_labels_that_exist(page: Path) -> None:
    # A group by a label that no series has is one group without a name, which nobody notices.
    for words in re.findall(r"\bby \(([\w, ]+)\)", page.read_text()):
        assert set(re.split(r",\s*", words)) <= LABELS | SCRAPED, words

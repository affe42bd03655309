"""A private Prometheus with our rules, as an ordinary user on loopback, whose windows are shortened to be quick.

The rules' windows are minutes, for people; a test has seconds. `quickened` changes the lengths of windows and of `for`,
and nothing else, so that what is evaluated is what is shipped.
"""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from tests.counterparts.ports import free_port
from tests.counterparts.server import Server, answers_ok

_MISSING = 'Prometheus is not installed: run "make servers", or apt install prometheus'
RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules"
#: A query is answered by then (seconds).
ANSWER_SECONDS = 10.0

_WINDOW = re.compile(r"\[\d+\w+\]")
_FOR = re.compile(r"^(\s*for: )\w+$", re.MULTILINE)

#: A series' labels, and its value.
Series = tuple[dict[str, str], float]


def quickened(rules: str, window: str, hold: str) -> str:
    """Rules that look back for `window`, and whose alerts wait for `hold`: both as `5s`."""
    return _FOR.sub(rf"\g<1>{hold}", _WINDOW.sub(f"[{window}]", rules))


class PrometheusServer(Server):
    """Scrapes `targets` (host:port by job) and evaluates our rules, both every `interval`, looking back `window`."""

    name = "prometheus"

    @classmethod
    def missing(cls) -> str | None:
        return None if shutil.which("prometheus") is not None else _MISSING

    def __init__(self, targets: Mapping[str, Sequence[str]], interval: str, window: str, hold: str) -> None:
        super().__init__()
        self._port = free_port()
        rules = self._folder / "rules"
        rules.mkdir()
        for file in RULES.glob("*.yaml"):
            (rules / file.name).write_text(quickened(file.read_text(), window, hold))
        scrapes = [{"job_name": job, "static_configs": [{"targets": list(each)}]} for job, each in targets.items()]
        config = {
            "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
            "rule_files": [str(rules / "*.yaml")],
            "scrape_configs": scrapes,
        }
        (self._folder / "prometheus.yaml").write_text(yaml.safe_dump(config))

    def query(self, expression: str) -> list[Series]:
        """What it answers now. Raises HTTPError where it is no query."""
        found = self._get("query", query=expression)["result"]
        return [(each["metric"], float(each["value"][1])) for each in found]

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """What it answers over a time (seconds since 1970): {metric, values = [[time, value]]} for each series."""
        return list(self._get("query_range", query=expression, start=start, end=end, step=step)["result"])

    def value(self, expression: str) -> float | None:
        """The value of the one series that the query answers; None where it answers none."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return found[0][1] if found else None

    def firing(self) -> set[str]:
        """The alerts that fire now."""
        return {each["labels"]["alertname"] for each in self._get("alerts")["alerts"] if each["state"] == "firing"}

    def _launch(self) -> None:
        self._spawn(
            "prometheus",
            f"--config.file={self._folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        )

    def _answers(self) -> bool:
        return answers_ok(f"http://127.0.0.1:{self._port}/-/ready")

    def _get(self, path: str, **arguments: Any) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{urlencode(arguments)}"
        with urlopen(url, timeout=ANSWER_SECONDS) as answer:
            return dict(json.load(answer)["data"])

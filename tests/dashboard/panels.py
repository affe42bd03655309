"""The panels of the dashboard, as far as a picture or a check needs them. Nothing but the standard library is used."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards" / "edw.json"
_LABEL = re.compile(r"{{\s*(\w+)\s*}}")


@dataclass(frozen=True)
class Query:
    """One query of a panel, and how its series are called."""

    expression: str
    legend: str

    def over(self, window: str) -> str:
        """The query with Grafana's own window filled in, such as `1m`."""
        return self.expression.replace("$__rate_interval", window)

    def name(self, labels: Mapping[str, str]) -> str:
        """A series' name."""
        return _LABEL.sub(lambda found: labels.get(found[1], ""), self.legend)


@dataclass(frozen=True)
class Panel:
    """One panel: its place in cells of a grid that is 24 wide, and its queries; a row has none."""

    title: str
    kind: str
    place: Mapping[str, int]
    queries: tuple[Query, ...] = ()
    unit: str = ""
    description: str = ""
    stacked: bool = False
    logarithmic: bool = False
    colors: Mapping[str, str] = field(default_factory=dict)
    #: (value from which on, colour), the lowest first.
    steps: tuple[tuple[float, str], ...] = ()


def panels(file: Path = DASHBOARD) -> Iterator[Panel]:
    """All of them, in their order."""
    for raw in json.loads(file.read_text())["panels"]:
        yield _panel(raw)


def _panel(raw: Mapping[str, Any]) -> Panel:
    if raw["type"] == "row":
        return Panel(raw["title"], "row", raw["gridPos"])
    defaults, custom = raw["fieldConfig"]["defaults"], raw["fieldConfig"]["defaults"].get("custom", {})
    return Panel(
        title=raw["title"],
        kind=raw["type"],
        place=raw["gridPos"],
        queries=tuple(Query(each["expr"], each["legendFormat"]) for each in raw["targets"]),
        unit=defaults["unit"],
        description=raw["description"],
        stacked=custom.get("stacking", {}).get("mode") == "normal",
        logarithmic=custom.get("scaleDistribution", {}).get("type") == "log",
        colors={
            each["matcher"]["options"]: each["properties"][0]["value"]["fixedColor"]
            for each in raw["fieldConfig"]["overrides"]
        },
        steps=tuple(
            (float("-inf") if each["value"] is None else each["value"], each["color"])
            for each in defaults.get("thresholds", {}).get("steps", ())
        ),
    )

"""Draws the picture of everyday load for the benchmarks page: latencies and processors against events a second.

    python -m tests.benchmarks.everyday_chart RECORD.json PICTURE.png

It needs matplotlib, which `make everyday` has in an environment of its own. This module imports nothing else of ours.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLORS = {
    "p50": "#1f77b4",
    "p95": "#ff7f0e",
    "p99": "#d62728",
    "api": "#1f77b4",
    "worker": "#2ca02c",
    "store": "#9467bd",
}
NAMES = {"api": "API", "store": "Redis"}
#: Of the contestants, in their order.
STYLES = ("-", "--")


def draw(record: Mapping[str, Any]) -> Figure:
    """Return the picture."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), dpi=100, layout="constrained")
    contestants = record["contestants"]
    for style, (name, windows) in zip(STYLES, contestants.items(), strict=False):
        suffix = f" ({name})" if len(contestants) > 1 else ""
        for axes, fields, least in ((left, ("p50", "p95", "p99"), 1), (right, ("api", "worker", "store"), 0)):
            rates = sorted(rate for rate in map(int, windows) if rate >= least)
            for field in fields:
                values = [[window[field] for window in windows[str(rate)]] for rate in rates]
                _line(axes, rates, values, field, style, suffix)
    left.set(title="Scheduled to delivered", xlabel="events/s", ylabel="ms", yscale="log")
    right.set(title="CPU of each process", xlabel="events/s", ylabel="cores", ylim=(0, None))
    for axes in (left, right):
        axes.grid(visible=True, which="both", color="#dddddd", linewidth=0.6)
        axes.legend(fontsize=8)
    figure.suptitle(f"Single events by HTTP, one API and one worker, appendfsync {record['appendfsync']}")
    return figure


def _line(
    axes: Axes, rates: Sequence[int], values: Sequence[Sequence[float]], field: str, style: str, suffix: str
) -> None:
    color, label = COLORS[field], NAMES.get(field, field) + suffix
    axes.plot(rates, [median(each) for each in values], style, color=color, marker="o", markersize=4, label=label)
    # From the lowest to the highest of the rounds.
    axes.fill_between(rates, [min(each) for each in values], [max(each) for each in values], color=color, alpha=0.12)


def main(arguments: Sequence[str]) -> str | None:
    """Draw; return what to say where that is not what was asked for."""
    if len(arguments) != 2:
        return "usage: python -m tests.benchmarks.everyday_chart RECORD.json PICTURE.png"
    record, picture = map(Path, arguments)
    draw(json.loads(record.read_text())).savefig(picture)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
